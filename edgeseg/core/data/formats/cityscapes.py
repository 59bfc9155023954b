"""Cityscapes' layout: leftImg8bit/ and gtFine/, a folder per split and city; 19 classes.

Source: Cordts et al., The Cityscapes Dataset for Semantic Urban Scene Understanding, 2016: 34
label ids, of which 19 are trained and scored; the others are void.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeseg.core.data.classes import Classes
from edgeseg.core.data.dataset import SPLITS
from edgeseg.core.data.formats.base import ReadOptions, folder_of, labelled_pairs
from edgeseg.core.data.formats.parse import own_classes
from edgeseg.core.data.masks import Colour
from edgeseg.core.data.pairs import PairFolder, pair_files
from edgeseg.core.data.splits import split_pairs
from edgeseg.core.images.names import images_below
from edgeseg.errors import DataError

# Name, label id, colour; the place is the train id.
TRAINED: tuple[tuple[str, int, Colour], ...] = (
    ("road", 7, (128, 64, 128)),
    ("sidewalk", 8, (244, 35, 232)),
    ("building", 11, (70, 70, 70)),
    ("wall", 12, (102, 102, 156)),
    ("fence", 13, (190, 153, 153)),
    ("pole", 17, (153, 153, 153)),
    ("traffic light", 19, (250, 170, 30)),
    ("traffic sign", 20, (220, 220, 0)),
    ("vegetation", 21, (107, 142, 35)),
    ("terrain", 22, (152, 251, 152)),
    ("sky", 23, (70, 130, 180)),
    ("person", 24, (220, 20, 60)),
    ("rider", 25, (255, 0, 0)),
    ("car", 26, (0, 0, 142)),
    ("truck", 27, (0, 0, 70)),
    ("bus", 28, (0, 60, 100)),
    ("train", 31, (0, 80, 100)),
    ("motorcycle", 32, (0, 0, 230)),
    ("bicycle", 33, (119, 11, 32)),
)
LARGEST_ID = 33
# Colours of ids that are void: static, dynamic, ground, parking, rail track, guard rail, bridge,
# tunnel, caravan, trailer.
VOID_COLOURS: tuple[Colour, ...] = (
    (0, 0, 0),
    (111, 74, 0),
    (81, 0, 81),
    (250, 170, 160),
    (230, 150, 140),
    (180, 165, 180),
    (150, 100, 100),
    (150, 120, 90),
    (0, 0, 90),
    (0, 0, 110),
)
KINDS = ("labelIds", "labelTrainIds", "color")


class Cityscapes:
    """leftImg8bit/SPLIT/CITY/ and gtFine/SPLIT/CITY/ with labelIds, labelTrainIds or color."""

    tree = "leftImg8bit/ and gtFine/ with train/CITY/ and val/CITY/ in each"

    def recognize(self, root: Path) -> str | None:
        """Tell whether leftImg8bit/ or gtFine/ is there."""
        seen = [f"{name}/" for name in ("leftImg8bit", "gtFine") if (root / name).is_dir()]
        return " and ".join(seen) if seen else None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split; of several kinds of mask the one that most pictures have is read.

        Raises:
            DataError: a folder, the split, or the mask of a picture is missing.
        """
        for need, what in (
            ("leftImg8bit", "the pictures; unpack leftImg8bit_trainvaltest.zip there"),
            ("gtFine", "the masks; unpack gtFine_trainvaltest.zip there"),
        ):
            if not (root / need).is_dir():
                raise DataError(f"{root}: no {need}/ folder; expected {what}")
        pictures = root / "leftImg8bit"
        there = [s for s in SPLITS if (pictures / s).is_dir()]
        held_back = there == ["train"] and split != "test"
        if split not in there and not held_back:
            known = ", ".join(there) or "none"
            raise DataError(f"{pictures}: no {split}/; splits that are there: {known}")
        part = "train" if held_back else split
        images, masks = pictures / part, root / "gtFine" / part
        if not masks.is_dir():
            raise DataError(f"{masks}: no such folder; {images} needs its masks there")
        own = own_classes(root, options)
        kind, files = _masks_of(masks, own)
        pairs = pair_files(images, files)
        if not pairs:
            raise DataError(f"{images}: no images; expected CITY/NAME_leftImg8bit.png there")
        pairs, notes = labelled_pairs(pairs, options, f"{masks} (NAME_gtFine_{kind}.png)")
        what = split
        if held_back:
            pairs, what = split_pairs(pairs, split, {}, options)
        classes = own or trained_classes(kind)
        return folder_of(f"{root.name} ({what})", pairs, classes, options, notes)


def trained_classes(kind: str) -> Classes:
    """Return the 19 classes for one kind of mask: a member of KINDS."""
    names, ids, colours = zip(*TRAINED, strict=True)
    by_id = {value: label for label, value in enumerate(ids)}
    values = [(value, by_id.get(value, 255)) for value in range(LARGEST_ID + 1)]
    listed = [*zip(colours, range(len(names)), strict=True), *((c, 255) for c in VOID_COLOURS)]
    return dataclasses.replace(
        Classes(names, colours, 255, explained=True),
        values=tuple(values) if kind == "labelIds" else (),
        colours=tuple(listed) if kind == "color" else (),
    )


def _masks_of(folder: Path, own: Classes | None) -> tuple[str, list[Path]]:
    """Return the kind of mask that is read, and the files of that kind."""
    files = images_below(folder)
    of_kind = {kind: [p for p in files if p.stem.endswith(f"_{kind}")] for kind in KINDS}
    likely = list(KINDS)
    if own is not None and not own.values:
        # Names in label order are of labels, not of Cityscapes' ids.
        likely = ["color", "labelTrainIds"] if own.colours else ["labelTrainIds", "color"]
        likely.append("labelIds")
    kind = max(likely, key=lambda kind: len(of_kind[kind]))
    if not of_kind[kind]:
        raise DataError(
            f"{folder}: no masks; expected CITY/NAME_gtFine_labelIds.png, _labelTrainIds or _color"
        )
    return kind, of_kind[kind]
