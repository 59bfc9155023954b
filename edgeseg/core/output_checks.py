"""Refuse places where a verb could not write, while there is no result to lose."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from edgeseg.core.files import is_device
from edgeseg.errors import UsageError


def check_file(
    option: str, given: Path | None, example: str, reads: Sequence[Path | str | None] = ()
) -> None:
    """Refuse a place for a file.

    Args:
        option: that names the place.
        given: the place; None where the option was left out.
        example: a file's name for the advice.
        reads: files and folders that the command reads; what is no path is passed over.

    Raises:
        UsageError: a folder stands there, nothing can be written there, or what the command reads
            lies there.
    """
    if given is None:
        return
    for read in reads:
        if read is not None and Path(read).exists() and _would_spoil(given, Path(read)):
            raise UsageError(
                f"{option} {given} would be written over or into {read}, which is read; give "
                "another file"
            )
    if given.is_dir():
        raise UsageError(
            f"{option} {given} is a folder; give the file to write, such as {given / example}"
        )
    if not is_device(given):
        _check_writable(option, given, given.parent)
    elif not os.access(given, os.W_OK):
        raise UsageError(f"{given} cannot be written: no permission; give another {option}")


def check_files(
    places: Sequence[tuple[str, Path | None, str]], reads: Sequence[Path | str | None] = ()
) -> None:
    """Refuse places for files, each (option, place, example) as check_file takes them.

    Raises:
        UsageError: as check_file does, or two options have one place.
    """
    taken: dict[Path, str] = {}
    for option, given, example in places:
        check_file(option, given, example, reads)
        if given is None or is_device(given):
            continue
        other = taken.setdefault(given.resolve(), option)
        if other != option:
            raise UsageError(f"{option} {given} is the file of {other} too; give each its own")


def check_folder(option: str, given: Path) -> None:
    """Refuse a folder in which files are to be written.

    Raises:
        UsageError: a file stands there or above, or nothing can be written there.
    """
    _check_writable(option, given, given)


def check_bundle(option: str, given: Path) -> None:
    """Refuse a folder whose place a bundle is to take as a whole.

    Raises:
        BundleError: something stands there that is not a bundle, or a bundle with other files.
        UsageError: nothing can be written there.
    """
    from edgeseg.core.bundle import check_replaceable

    check_replaceable(given)
    _check_writable(option, given, given.parent)


def _would_spoil(given: Path, read: Path) -> bool:
    """Tell whether writing `given` changes what is read at `read`."""
    # A verb that only prints must run without numpy, which these import.
    from edgeseg.core.bundle import FILES, MANIFEST_FILE
    from edgeseg.core.images.names import is_image_name

    place, held = given.resolve(), read.resolve()
    if place == held:
        return True
    if not held.is_dir() or held not in place.parents:
        return False
    if (held / MANIFEST_FILE).is_file():
        return place.relative_to(held).as_posix() in FILES
    # A data set: its lists, and the folders that hold its pictures.
    if place.is_file() and place.suffix == ".txt":
        return True
    beside = place.parent.iterdir() if place.parent.is_dir() else ()
    return any(is_image_name(one) and one != place for one in beside)


def _check_writable(option: str, given: Path, needed: Path) -> None:
    there = next(place for place in (needed, *needed.parents) if place.exists())
    if not there.is_dir():
        raise UsageError(
            f"{given} cannot be written: {there} is a file, expected a folder; give another "
            f"{option}"
        )
    if not os.access(there, os.W_OK | os.X_OK):
        raise UsageError(
            f"{given} cannot be written: no permission in {there}; give another {option}"
        )
