"""The nearest known name, for messages about an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def unknown(kind: str, given: str, known: Iterable[str]) -> str:
    """Return a one-line message about an unknown name that offers the nearest or all of them."""
    names = list(known)
    near = difflib.get_close_matches(given, names, n=1, cutoff=0.5)
    if near:
        return f"unknown {kind} {given!r}; did you mean {near[0]!r}?"
    return f"unknown {kind} {given!r}; known: {', '.join(names) or 'none'}"
