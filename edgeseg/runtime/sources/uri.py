"""Splits a source's URI, and hides the secrets in it before it is shown."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from edgeseg.core.images.names import IMAGE_ENDINGS

# Query parameters to hide: credentials and user names. Not hidden: user-agent, channel.
_SECRET_KEY = (
    r"(?:[\w-]*(?:token|passw|secret|sig|auth|cred|jwt)[\w-]*|[\w-]*key"
    r"|user(?:_?name|_?id)?|usr|login\w*|pwd|pass|pas|psw|pw)"
)
# Each pattern finds a secret, which must never reach a log, page or report; the text replaces it.
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


def split_scheme(uri: str) -> tuple[str, str]:
    """Return a URI's scheme in small letters and all that follows `://`.

    A path has no scheme: it is a "folder" or a "video" by what lies there and by its ending.
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", uri, re.DOTALL)
    if match is not None:
        return match[1].lower(), match[2]
    path = Path(uri)
    if any(sign in uri for sign in "*?[") and not path.exists():
        return "folder", uri
    images = path.is_dir() or path.suffix.lower() in IMAGE_ENDINGS
    return "folder" if images else "video", uri


def split_query(rest: str) -> tuple[str, Mapping[str, str]]:
    """Return what stands before `?`, and the `key=value` pairs behind it."""
    rest, _, text = rest.partition("?")
    return rest, dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
