"""Makes a name that came from a file safe where it goes: terminal, path, Markdown, XML, Prometheus.

Bundles, checkpoints, data sets and reports of others carry names. Raw, one of them can write the
clipboard through a terminal, leave the folder that it names, or forge a line of a CI summary.
"""

from __future__ import annotations

import re
import unicodedata

# Control, format (bidirectional overrides, zero width), surrogate, private, line and paragraph
# separators. "Mn" is let be: names have accents.
HIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
# Longer than any class's or network's name.
MOST_CHARACTERS = 200
# All but ASCII's visible characters, line feed and tab: only these are looked up, one by one.
UNUSUAL = re.compile(r"[^\n\t -~]")
# What Markdown and the HTML inside it give a meaning.
MARKED = re.compile(r"([\\`*\[\]<>#|~])")


def printable(text: str) -> str:
    r"""Return text for a terminal: what is hidden or steers it becomes \x1b and the like.

    Line feeds and tabs stay.
    """
    return UNUSUAL.sub(_shown, text)


def _shown(found: re.Match[str]) -> str:
    char = found[0]
    if unicodedata.category(char) not in HIDDEN:
        return char
    return char.encode("unicode_escape", "surrogatepass").decode()


def one_line(text: str) -> str:
    """Return text as one printable line."""
    return " ".join(printable(text).split())


def is_plain(name: str) -> bool:
    """Tell whether a name may come into edgeseg: one line, nothing hidden, not endless."""
    return (
        0 < len(name) <= MOST_CHARACTERS
        and not any(unicodedata.category(char) in HIDDEN for char in name)
        and bool(name.strip())
    )


def component(name: str) -> str:
    """Return a name as one component of a path, never "." or "..", never hidden."""
    return re.sub(r"[^\w.+-]+", "_", name).strip("._")[:MOST_CHARACTERS] or "unnamed"


def markdown_cell(text: str) -> str:
    """Return text for a table's cell or a line of Markdown, with no mark-up of its own."""
    return MARKED.sub(r"\\\1", one_line(text)).replace(r"\<", "&lt;").replace(r"\>", "&gt;")


def prometheus(label: str) -> str:
    """Return the value of a Prometheus label, without its quotes."""
    return printable(label).replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
