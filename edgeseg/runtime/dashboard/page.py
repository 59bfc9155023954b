"""Makes the page as one file, which loads nothing from another address."""

from __future__ import annotations

import base64
import functools
import hashlib
from pathlib import Path

STATIC = Path(__file__).parent / "static"


@functools.cache
def page() -> tuple[bytes, str]:
    """Return the page and the content security policy that lets only its own script run.

    The page holds no figure and no name: all of them come as JSON and are written as text.
    """
    style = (STATIC / "page.css").read_text()
    script = (STATIC / "page.js").read_text()
    html = (STATIC / "page.html").read_text()
    html = html.replace("/*STYLE*/", style).replace("/*SCRIPT*/", script)
    policy = (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; "
        "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    )
    return html.encode(), policy


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
