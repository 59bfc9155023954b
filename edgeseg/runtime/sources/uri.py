"""What a source's URI says, and how it is shown without the secrets it holds."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from edgeseg.core.images.names import IMAGE_ENDINGS

# Names of parameters that hold a secret or whose it is; user-agent and channel are none.
_SECRET_KEY = (
    r"(?:[\w-]*(?:token|passw|secret|sig|auth|cred|jwt)[\w-]*|[\w-]*key"
    r"|user(?:_?name|_?id)?|usr|login\w*|pwd|pass|pas|psw|pw)"
)
# What must never reach a log, page or report, and what stands there instead.
SECRETS = (
    # A password may hold @ or / though it should not; a port number is no password.
    (re.compile(r"(\w+://)[^/@\s:]*:(?!\d+/)[^\s'\"]*@"), r"\1"),
    # Unless what stands before it can hardly be a host: it has no dot.
    (re.compile(r"(\w+://)(?!localhost:)[^/@\s:.]+:\d+/[^\s'\"]*@"), r"\1"),
    (re.compile(r"(\w+://)[^/@\s]*@"), r"\1"),
    (re.compile(rf"(?i)([?&;]{_SECRET_KEY}=)[^&\s;'\"]*"), r"\1***"),
    # As cheap cameras have it, in the path: /user=admin_password=x_channel=1_stream=0.sdp
    (re.compile(rf"(?i)([/_]{_SECRET_KEY}=)(?:(?!_[^\W_]+=)[^&\s;'\"])*"), r"\1***"),
    # Properties of GStreamer's rtspsrc and souphttpsrc.
    (
        re.compile(
            r"(?i)\b((?:(?:proxy-|user-)+id|(?:proxy-|user-)*pw)\s*=\s*)"
            r"(\"[^\"]*\"|'[^']*'|[^\s!]+)"
        ),
        r"\1***",
    ),
)


def public_uri(uri: str) -> str:
    """Return the URI without user name, password and tokens, for messages and reports."""
    for pattern, shown in SECRETS:
        uri = pattern.sub(shown, uri)
    return uri


def source_path(uri: str) -> Path | None:
    """Return the file, folder or glob that a source reads, None for one that reads none."""
    scheme, rest, _ = parse(uri)
    return Path(rest) if scheme in ("folder", "video") else None


def parse(uri: str) -> tuple[str, str, Mapping[str, str]]:
    """Return scheme, rest and query of a URI; a path is "folder" or "video" by what lies there."""
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", uri, re.DOTALL)
    if match is None:
        path = Path(uri)
        if any(sign in uri for sign in "*?[") and not path.exists():
            return "folder", uri, {}
        images = path.is_dir() or path.suffix.lower() in IMAGE_ENDINGS
        return "folder" if images else "video", uri, {}
    scheme, rest = match[1].lower(), match[2]
    if scheme in ("gst", "rtsp", "rtsps"):
        # Their query belongs to the pipeline or the server.
        return scheme, rest, {}
    rest, _, text = rest.partition("?")
    return scheme, rest, dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
