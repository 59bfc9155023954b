"""Where facts of data sets are kept between runs; without a folder they are not kept."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text

_folder: Path | None = None


def keep_in(folder: Path | None) -> None:
    """Keep the facts of data sets in `folder`, never beside the data; None keeps none."""
    global _folder
    _folder = folder


def kept_in() -> Path | None:
    """Return the folder of the facts."""
    return _folder


def state_of(path: Path) -> str:
    """Return text that changes when a file does: its place, size, time of change and number."""
    try:
        at = os.stat(path)  # noqa: PTH116 - called for every file of a data set
    except OSError:
        return f"{path} is missing"
    return f"{path.absolute()} {at.st_size} {at.st_mtime_ns} {at.st_ino}"


def key_of(what: str, files: Iterable[Path]) -> str:
    """Return the name under which a fact about files is kept.

    Args:
        what: the fact, and what else decides it.
        files: that it was learnt from.
    """
    digest = hashlib.sha256(what.encode())
    for path in files:
        digest.update(b"\n" + state_of(path).encode())
    return digest.hexdigest()[:32]


def kept(key: str) -> Any:
    """Return the JSON value kept under a key of `key_of`, None where there is none."""
    if _folder is not None:
        with contextlib.suppress(OSError, ValueError):
            return json.loads((_folder / f"{key}.json").read_text(encoding="utf-8"))
    return None


def keep(key: str, value: Any) -> None:
    """Keep a JSON value; a folder that cannot be written costs the next run time, no more."""
    if _folder is not None:
        with contextlib.suppress(OSError):
            atomic_write_text(_folder / f"{key}.json", json.dumps(value))
