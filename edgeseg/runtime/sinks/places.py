"""Finds a place that no earlier run has written: a name with a number where the given one is taken.

A place is held by a lock of the file system for as long as it is written, so two runs that start at
once never share one. The lock ends with the process, however it ends.
"""

from __future__ import annotations

import fcntl
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from edgeseg.errors import SinkError

# Of owner, group and others, less what the umask takes away.
MODE = 0o666


def candidates(path: Path) -> Iterator[Path]:
    """Yield a path and then the path with -2, -3 and so on before its ending."""
    yield path
    for number in itertools.count(2):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")


def claim_file(path: Path, *, replace: bool = False) -> tuple[int, Path]:
    """Open an empty file for writing and lock it.

    Args:
        path: where it should be.
        replace: empty what an earlier run left there, unless that run still goes on.

    Returns:
        Its descriptor, to be closed by the caller, and its path: another one than was given where
        something already stands there.

    Raises:
        SinkError: the folder does not exist or cannot be written.
    """
    for place in candidates(path):
        over = replace and place == path
        if not over and _taken(place):
            continue
        try:
            handle = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, MODE)
        except OSError as error:
            raise SinkError(f"{place} cannot be written ({error.strerror})") from error
        if _locked(handle):
            if over:
                os.ftruncate(handle, 0)
            # Looked at again under the lock: another run may have written it meanwhile.
            if os.fstat(handle).st_size == 0:
                return handle, place
        os.close(handle)
    raise AssertionError("candidates never end")


def claim_folder(
    path: Path, is_free: Callable[[Path], bool], *, replace: bool = False
) -> tuple[int, Path]:
    """Make a folder and lock it, or take one that `is_free`.

    Args:
        path: where it should be.
        is_free: tells whether nothing of an earlier run lies in an existing folder; it may raise.
        replace: take the folder also where it is not free, unless a run still writes into it.

    Returns:
        Its descriptor, to be closed by the caller, and its path.

    Raises:
        SinkError: it cannot be made or read.
    """
    for place in candidates(path):
        try:
            place.mkdir(parents=True, exist_ok=True)
            handle = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise SinkError(f"{place} cannot be made or read ({error.strerror})") from error
        try:
            # Asked in any case: it refuses folders with what is somebody else's.
            free = is_free(place)
        except OSError as error:
            os.close(handle)
            raise SinkError(f"{place} cannot be made or read ({error.strerror})") from error
        except BaseException:
            os.close(handle)
            raise
        if _locked(handle) and (free or (replace and place == path)):
            return handle, place
        os.close(handle)
    raise AssertionError("candidates never end")


def moved_note(asked: Path, got: Path) -> str:
    """Return the line that tells a user where the output went instead."""
    return (
        f"{asked} is there from another run and stays as it is; this run goes to {got} (--replace "
        "writes over it)"
    )


def _taken(place: Path) -> bool:
    if not place.exists():
        # A link that leads nowhere is somebody's too.
        return place.is_symlink()
    return place.stat().st_size > 0


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # A file system without locks.
        return True
    return True
