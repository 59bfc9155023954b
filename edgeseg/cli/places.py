"""Refuse places where a verb could not write, while there is no result to lose."""

from __future__ import annotations

import os
from pathlib import Path

from edgeseg.errors import UsageError


def check_file(option: str, given: Path | None, example: str) -> None:
    """Refuse a place for a file.

    Args:
        option: that names the place.
        given: the place; None where the option was left out.
        example: a file's name for the advice.

    Raises:
        UsageError: a folder stands there, or nothing can be written there.
    """
    if given is None:
        return
    if given.is_dir():
        raise UsageError(
            f"{option} {given} is a folder; give the file to write, such as {given / example}"
        )
    _check_writable(option, given, given.parent)


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
