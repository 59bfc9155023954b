"""Pascal VOC's layout: JPEGImages/, SegmentationClass/, ImageSets/Segmentation/; 20 classes.

Source: Everingham et al., The Pascal Visual Object Classes Challenge, 2010. Tools write other
classes in the same folders and list them in labelmap.txt or class_names.txt.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path

from edgeseg.core.data.classes import GRAMMAR, Classes
from edgeseg.core.data.formats.base import ReadOptions, chosen_pairs, folder_of
from edgeseg.core.data.formats.parse import named_classes, own_classes, read_text
from edgeseg.core.data.masks import Colour
from edgeseg.core.data.pairs import PairFolder, pair_files
from edgeseg.core.data.splits import Finder, list_files, read_list
from edgeseg.errors import DataError

VOC_CLASSES = [
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat",
    "chair", "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant",
    "sheep", "sofa", "train", "tvmonitor"
]  # fmt: skip
VOC_BORDER = (224, 224, 192)
OWN_NAME = re.compile(r"(?:19|20)\d\d_\d{6}")
PICTURES = ("JPEGImages", "images", "Images", "img")
LISTS = ("ImageSets/Segmentation", "ImageSets")
# Lists that say what is used, not in which split.
WHOLE = ("default.txt", "trainval.txt", "all.txt")

# The classes of a folder, given the first picture.
Implied = Callable[[Path, Path], Classes]


class PascalVoc:
    """Pictures in JPEGImages/, masks with a palette or colours in SegmentationClass/."""

    tree = "JPEGImages/ and SegmentationClass/ with ImageSets/Segmentation/"

    def recognize(self, root: Path) -> str | None:
        """Tell whether SegmentationClass/ or JPEGImages/ is there, or in VOCdevkit/VOC*/."""
        base = _base(root)
        names = ("JPEGImages", "SegmentationClass")
        seen = [f"{name}/" for name in names if (base / name).is_dir()]
        return " and ".join(seen) if seen else None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split: what its list names; the lists are `train.txt`, `val.txt`, `test.txt`.

        Raises:
            DataError: a folder, a class file or a listed picture is missing.
        """
        return open_voc(_base(root), split, options, voc_classes)


def open_voc(root: Path, split: str, options: ReadOptions, implied: Implied) -> PairFolder:
    """Open one split of JPEGImages/ and SegmentationClass/.

    Args:
        root: holds the folders.
        split: "train", "val" or "test".
        options: what the user asks for.
        implied: returns the classes of `root`, given its first picture.

    Raises:
        DataError: a folder, a class file or a listed picture is missing.
    """
    masks = root / "SegmentationClass"
    images = next((p for name in PICTURES if (p := root / name).is_dir()), root / PICTURES[0])
    for folder, what in (
        (images, "the pictures; export again with `save images`, or copy them there"),
        (masks, "a mask per picture; export again for segmentation"),
    ):
        if not folder.is_dir():
            raise DataError(f"{root}: no {folder.name}/ folder; expected {what}")
    found = pair_files(images, masks)
    if not found:
        raise DataError(f"{images}: no images; expected PNG or JPEG files; copy them there")
    lists = list_files(root, LISTS)
    if lists:
        # Far more pictures than masks are there: only those of the lists are meant.
        found = [found[k] for k in _listed(list(lists.values()), [i for i, _ in found])]
    elif whole := [p for name in WHOLE if (p := root / LISTS[0] / name).is_file()]:
        found = [found[k] for k in _listed(whole, [i for i, _ in found])]
    else:
        masked = [pair for pair in found if pair[1] is not None]
        found = masked if _is_own(found[0][0]) and masked else found
    classes = own_classes(root, options) or implied(root, found[0][0])
    if set(lists) == {"train"}:
        # A training list alone gives its validation too.
        lists = {}
    pairs, notes, what = chosen_pairs(found, split, lists, options, str(masks))
    return folder_of(f"{root.name} ({what})", pairs, classes, options, notes)


def _listed(files: list[Path], images: list[Path]) -> list[int]:
    finder = Finder(images)
    return sorted({index for path in files for index in read_list(path, finder)})


def voc_classes(root: Path, first: Path) -> Classes:
    """Return the classes of labelmap.txt or class_names.txt, else VOC's own for VOC's pictures.

    Raises:
        DataError: no file names the classes of other pictures, or it is malformed.
    """
    if (root / "labelmap.txt").is_file():
        return read_labelmap(root / "labelmap.txt")
    names = root / "class_names.txt"
    if names.is_file():
        lines = [line.strip() for line in read_text(names).splitlines() if line.strip()]
        listed = [line for line in lines if line != "__ignore__"]
        return named_classes(names, listed, [voc_colour(k) for k in range(len(listed))])
    if not _is_own(first):
        raise DataError(
            f"{root}: no labelmap.txt, and {first.name} is no picture of Pascal VOC, whose classes "
            f"would be wrong here; write {root / 'classes.txt'} or give --classes FILE: {GRAMMAR}"
        )
    own = named_classes(root, VOC_CLASSES, [voc_colour(k) for k in range(len(VOC_CLASSES))])
    return dataclasses.replace(own, colours=(*own.colours, (VOC_BORDER, 255)), explained=True)


def _is_own(image: Path) -> bool:
    return bool(OWN_NAME.fullmatch(image.stem))


def read_labelmap(path: Path) -> Classes:
    """Read `name:r,g,b:parts:actions` lines, as CVAT writes them.

    Raises:
        DataError: missing, or a line is malformed.
    """
    names: list[str] = []
    colours: list[Colour] = []
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        # A name may hold colons; three fields come after it.
        match = re.fullmatch(
            r"(.+?):\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*(?::.*)?", line.strip()
        )
        rgb = tuple(int(part) for part in match.groups()[1:]) if match else (256,)
        if match is None or max(rgb) > 255:
            raise DataError(f"{path}, line {number}: expected `name:r,g,b::`, not {line.strip()!r}")
        names.append(match[1].strip())
        colours.append((rgb[0], rgb[1], rgb[2]))
    return named_classes(path, names, colours)


def voc_colour(label: int) -> Colour:
    """Return the colour that VOC's palette gives a label: its bits, spread over the channels."""
    red, green, blue = (
        sum((label >> (3 * bit + channel) & 1) << (7 - bit) for bit in range(3))
        for channel in range(3)
    )
    return red, green, blue


def _base(root: Path) -> Path:
    """Return the folder that holds the parts: `root`, or VOCdevkit's one `VOC2012` below it."""
    for place in (root, root / "VOCdevkit"):
        if not place.is_dir():
            continue
        years = sorted(p for p in place.glob("VOC[12]*") if (p / "JPEGImages").is_dir())
        if len(years) == 1:
            return years[0]
    return root
