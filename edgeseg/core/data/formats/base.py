"""What a module of this folder offers: how a folder's layout is recognised and opened."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgeseg.core.data.dataset import Dataset


@dataclasses.dataclass(frozen=True)
class ReadOptions:
    """What a user asks for beyond the folder and the split; every field has a default.

    Attributes:
        classes: a classes.txt that replaces the classes which the layout implies or holds.
    """

    classes: Path | None = None


@runtime_checkable
class Format(Protocol):
    """One folder layout. A class without arguments; its line in `FORMATS` names it.

    Attributes:
        tree: what lies in such a folder, in one line for messages, help and documents:
            "images/ with masks/ and classes.txt".
    """

    tree: str

    def recognise(self, root: Path) -> str | None:
        """Tell what shows that `root` has this layout, None where nothing does.

        It looks at names alone, reads no picture, and also answers for a half-written export, so
        that `open` can say what is missing.

        Args:
            root: a folder that exists.

        Returns:
            What was seen, for a message such as "voc, by JPEGImages/ and ImageSets/".
        """
        ...

    def open(self, root: Path, split: str, options: ReadOptions) -> Dataset:
        """Open one split; pictures are read when they are indexed.

        Args:
            root: a folder; recognised before, unless the user named the format.
            split: "train", "val" or "test".
            options: what the user asks for.

        Raises:
            DataError: the split or a part of the layout is missing, or nothing is in it.
        """
        ...
