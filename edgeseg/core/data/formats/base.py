"""What a module of this folder offers: how a folder's layout is recognized and opened."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from edgeseg.core.data.classes import Classes, read_classes
from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.pairs import Pair, PairFolder, missing_masks
from edgeseg.core.data.read_options import KEEP, UNLABELLED, ReadOptions
from edgeseg.core.data.splits import split_pairs
from edgeseg.errors import DataError, UsageError

__all__ = [
    "Format",
    "ReadOptions",
    "chosen_classes",
    "chosen_pairs",
    "folder_of",
    "labelled_pairs",
]


@runtime_checkable
class Format(Protocol):
    """One folder layout. A class without arguments; its line in `FORMATS` names it.

    Attributes:
        tree: what lies in such a folder, in one line for messages, help and documents:
            "images/ with masks/ and classes.txt".
    """

    tree: str

    def recognize(self, root: Path) -> str | None:
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

        Its usual parts are `pair_files`, `labelled_pairs`, `split_pairs`, `chosen_classes` and
        `folder_of`.

        Args:
            root: a folder; recognized before, unless the user named the format.
            split: "train", "val" or "test".
            options: what the user asks for.

        Raises:
            DataError: the split or a part of the layout is missing, or nothing is in it.
        """
        ...


def chosen_classes(options: ReadOptions, implied: Classes) -> Classes:
    """Return the classes of the user's file where one is given, else those of the layout.

    Raises:
        DataError: the file is missing or malformed.
    """
    return read_classes(options.classes) if options.classes else implied


def labelled_pairs(
    pairs: Sequence[Pair], options: ReadOptions, where: str
) -> tuple[list[Pair], tuple[str, ...]]:
    """Return the pairs that are used, and what is said of pictures without a mask.

    Called before pictures are held back, so that what is left out counts in no split.

    Args:
        pairs: pictures and masks.
        options: what the user asks for.
        where: masks were looked for here.

    Raises:
        DataError: pictures have no mask and nothing is asked for them, or none has one.
        UsageError: `options.unlabelled` is unknown.
    """
    lacking = [image for image, mask in pairs if mask is None]
    asked = options.unlabelled
    if asked not in (None, KEEP, *UNLABELLED):
        raise UsageError(f"--unlabelled {asked!r} is unknown; use one of {', '.join(UNLABELLED)}")
    if not lacking or asked == KEEP:
        return list(pairs), ()
    if len(lacking) == len(pairs) > 1:
        raise DataError(
            f"{lacking[0]}: no mask of that name in {where}, nor for any of the "
            f"{len(pairs)} pictures; a mask has its picture's name, such as {lacking[0].stem}.png"
        )
    if asked is None:
        raise DataError(missing_masks(lacking, len(pairs), where))
    count = f"{len(lacking)} of {len(pairs)} pictures have no mask and are"
    if asked == "skip":
        return [pair for pair in pairs if pair[1] is not None], (f"{count} left out",)
    return list(pairs), (f"{count} all of the class of label 0",)


def chosen_pairs(
    pairs: Sequence[Pair], split: str, lists: Mapping[str, Path], options: ReadOptions, where: str
) -> tuple[list[Pair], tuple[str, ...], str]:
    """Return the pairs of a split, what is said of pictures without a mask, and what to call it.

    A user's list may name a picture without a mask; what is held back is of those that are used.

    Args:
        pairs: all pictures and masks.
        split: "train", "val" or "test".
        lists: a list file per split; none holds validation back.
        options: what the user asks for.
        where: masks were looked for here.

    Raises:
        DataError: as `labelled_pairs` and `split_pairs`.
    """
    if lists:
        listed, what = split_pairs(pairs, split, lists, options)
        return *labelled_pairs(listed, options, where), what
    used, notes = labelled_pairs(pairs, options, where)
    chosen, what = split_pairs(used, split, {}, options)
    return chosen, notes, what


def folder_of(
    name: str,
    pairs: Sequence[Pair],
    classes: Classes,
    options: ReadOptions,
    notes: tuple[str, ...] = (),
) -> PairFolder:
    """Return the data set of some pairs.

    Args:
        name: for messages and reports.
        pairs: pictures and masks, as `labelled_pairs` returns them.
        classes: how masks are read.
        options: what the user asks for.
        notes: what a user must know of how the files are read.
    """
    folder = PairFolder.of(name, pairs, classes)
    blank = 0 if options.unlabelled == "background" else None
    return dataclasses.replace(folder, blank=blank, notes=notes)
