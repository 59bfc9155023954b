"""Reads single values of /proc and /sys; a value that cannot be read is None, never 0."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path("/")


def read_text(path: Path) -> str | None:
    """Return a file's text; None when it is missing, forbidden or its block is switched off."""
    try:
        # The device tree ends its strings with NUL.
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        # Many kernels answer ENODATA or EAGAIN for a block that is switched off.
        return None


def read_integer(path: Path) -> int | None:
    """Return a file's one integer, None when it holds anything else."""
    text = read_text(path)
    return int(text) if text is not None and re.fullmatch(r"-?\d+", text) else None


def read_kib(path: Path, key: str) -> int | None:
    """Return the bytes of a `Key:   123 kB` line, as in /proc/meminfo."""
    match = re.search(rf"^{key}:\s*(\d+) kB", read_text(path) or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else None
