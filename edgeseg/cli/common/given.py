"""Addresses that are not typed: from a variable or a file, since every user here sees arguments."""

from __future__ import annotations

import os
from pathlib import Path

from edgeseg.core.text.redact import remember
from edgeseg.errors import UsageError

ENV = "env:"


def resolved(word: str) -> str:
    """Return what a SOURCE or SINK stands for.

    Args:
        word: `env:NAME` for the variable's value, `@FILE` for the first line of a file that is not
            empty and no comment, anything else for itself.

    Raises:
        UsageError: no such variable or file, or nothing in it.
    """
    if word.startswith(ENV):
        name = word[len(ENV) :]
        found = os.environ.get(name, "").strip()
        if not found:
            raise UsageError(f"{word}: the variable {name} is not set; export {name}=ADDRESS first")
    elif word.startswith("@"):
        found = _first_line(word, Path(word[1:]))
    else:
        return word
    remember(found)
    return found


def _first_line(word: str, path: Path) -> str:
    try:
        lines = [line.strip() for line in path.read_text(errors="replace").splitlines()]
    except OSError as error:
        raise UsageError(
            f"{word}: {path} cannot be read ({error.strerror}); give a file that holds the address"
        ) from error
    found = next((line for line in lines if line and not line.startswith("#")), "")
    if not found:
        raise UsageError(f"{word}: {path} is empty; write the address into it")
    return found
