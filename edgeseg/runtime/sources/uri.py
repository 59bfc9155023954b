"""Splits a source's URI into scheme, path and options."""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Mapping
from pathlib import Path

from edgeseg.core.images.names import IMAGE_ENDINGS


def split_scheme(uri: str) -> tuple[str, str]:
    """Return a URI's scheme in small letters and all that follows `://`.

    A path has no scheme: it is a "folder" or a "video" by what lies there and by its ending, and a
    number or a device is a camera.
    """
    match = re.match(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", uri, re.DOTALL)
    if match is not None:
        return match[1].lower(), match[2]
    # As other programs name a camera: its number, or its device.
    if re.fullmatch(r"\d{1,2}(\?.*)?", uri) and not Path(uri).exists():
        return "v4l2", uri
    path = Path(uri)
    if path.is_char_device() or re.match(r"/dev/video\d+(\?|$)", uri):
        return "v4l2", uri
    if any(sign in uri for sign in "*?[") and not path.exists():
        return "folder", uri
    images = path.is_dir() or path.suffix.lower() in IMAGE_ENDINGS
    return "folder" if images else "video", uri


def split_query(rest: str) -> tuple[str, Mapping[str, str]]:
    """Return what stands before `?`, and the `key=value` pairs behind it."""
    rest, _, text = rest.partition("?")
    return rest, dict(urllib.parse.parse_qsl(text, keep_blank_values=True))
