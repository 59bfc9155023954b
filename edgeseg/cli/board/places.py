"""Where the desk keeps what it knows of its boards."""

from __future__ import annotations

import getpass
import os
import platform
from pathlib import Path

import click


def boards_file() -> Path:
    """Return the file of named boards, in the user's configuration folder."""
    return Path(click.get_app_dir("edgeseg")) / "boards.toml"


def wheel_cache() -> Path:
    """Return the folder where the wheel that is sent to boards is kept."""
    held = os.environ.get("XDG_CACHE_HOME")
    return (Path(held) if held else Path.home() / ".cache") / "edgeseg" / "wheels"


def desk() -> str:
    """Return who this is, for a board's lock: user@machine."""
    return f"{getpass.getuser()}@{platform.node()}"
