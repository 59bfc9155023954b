"""SUN RGB-D's pictures and labels of 37 classes, as the SegNet paper uses them; label 0 is void.

Source: Song et al., SUN RGB-D: A RGB-D Scene Understanding Benchmark Suite, 2015: 5285 pictures to
train, 5050 to test. The public label files count through both: 1 to 5050 are the test's, training
picture n has label file n + 5050.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.core.data.formats.ade20k import counted_from_one
from edgeseg.core.data.formats.base import ReadOptions, folder_of, labelled_pairs
from edgeseg.core.data.formats.parse import named_classes, own_classes
from edgeseg.core.data.pairs import Pair, PairFolder
from edgeseg.core.data.splits import split_pairs
from edgeseg.core.images.names import images_below
from edgeseg.errors import DataError

SUN_CLASSES = [
    "wall", "floor", "cabinet", "bed", "chair", "sofa", "table", "door", "window",
    "bookshelf", "picture", "counter", "blinds", "desk", "shelves", "curtain", "dresser",
    "pillow", "mirror", "floor_mat", "clothes", "ceiling", "books", "fridge", "tv", "paper",
    "towel", "shower_curtain", "box", "whiteboard", "person", "night_stand", "toilet", "sink",
    "lamp", "bathtub", "bag"
]  # fmt: skip
TEST_PICTURES = 5050
PICTURES = ("SUNRGBD-{}_images", "rgb/{}")
SHARED = "sunrgbd_train_test_labels"
LABELS = (SHARED, "semantic37/{}")


class SunRgbd:
    """SUNRGBD-train_images/ and SUNRGBD-test_images/ with sunrgbd_train_test_labels/."""

    tree = "SUNRGBD-train_images/, SUNRGBD-test_images/ and sunrgbd_train_test_labels/"

    def recognize(self, root: Path) -> str | None:
        """Tell whether one of the folders is there, or rgb/ with semantic37/."""
        names = (PICTURES[0].format("train"), PICTURES[0].format("test"), SHARED, "semantic37")
        return next((f"{name}/" for name in names if (root / name).is_dir()), None)

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split; the data set has no validation: it is held back from train.

        Raises:
            DataError: a folder, the split or a picture's label file is missing.
        """
        part = "test" if split == "test" else "train"
        images = _there(root, PICTURES, part, "the pictures of SUN RGB-D")
        labels = _there(root, LABELS, part, "the label files of 37 classes")
        pairs = _pairs(images, labels, part)
        if not pairs:
            raise DataError(f"{images}: no images; expected img-000001.jpg and so on")
        pairs, notes = labelled_pairs(pairs, options, str(labels))
        what = split
        if split != "test":
            pairs, what = split_pairs(pairs, split, {}, options)
        classes = own_classes(root, options) or counted_from_one(named_classes(root, SUN_CLASSES))
        return folder_of(f"{root.name} ({what})", pairs, classes, options, notes)


def _there(root: Path, names: tuple[str, ...], part: str, what: str) -> Path:
    folders = [root / name.format(part) for name in names]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if found is None:
        raise DataError(f"{root}: no {names[0].format(part)}/ folder; expected {what}, unpack them")
    return found


def _pairs(images: Path, labels: Path, part: str) -> list[Pair]:
    numbered = {_number(path): path for path in images_below(labels)}
    pictures = [(_number(path), path) for path in images_below(images)]
    counted_anew = part == "train" and min((n for n, _ in pictures), default=0) <= TEST_PICTURES
    through = labels.name == SHARED or max(numbered, default=0) > TEST_PICTURES
    shift = TEST_PICTURES if counted_anew and through else 0
    return [(path, numbered.get(number + shift)) for number, path in pictures]


def _number(path: Path) -> int:
    digits = re.findall(r"\d{1,9}", path.stem)
    if not digits:
        raise DataError(f"{path}: no number in its name; expected img-000001{path.suffix}")
    return int(digits[-1])
