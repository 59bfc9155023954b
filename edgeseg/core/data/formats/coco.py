"""COCO's JSON: polygons and run lengths of instances, drawn into one label per pixel.

Source: Lin et al., Microsoft COCO: Common Objects in Context, 2014. Crowds are void; where
instances overlap, the one of fewer pixels is on top; what none covers is background, label 0.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import Bool

from edgeseg.core.data.dataset import SPLITS
from edgeseg.core.data.formats.base import ReadOptions, labelled_pairs
from edgeseg.core.data.formats.parse import LARGEST_COCO, read_json
from edgeseg.core.data.formats.shapes import (
    Drawn,
    ShapeFolder,
    points_of,
    polygon,
    shape_classes,
    smaller_on_top,
    text_digest,
)
from edgeseg.core.data.pairs import Pair, PairFolder, check_size
from edgeseg.core.data.splits import split_pairs
from edgeseg.core.files import sha256_file
from edgeseg.core.images.names import images_below, stem_of
from edgeseg.errors import DataError

WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val",
         "validation": "val", "test": "test"}  # fmt: skip
# Files of COCO's folder that hold no masks.
OTHERS = ("captions", "person_keypoints", "image_info", "panoptic", "stuff")
NAMES = ("_annotations.coco.json", "annotations.json", "labels.json", "result.json", "coco.json")
PICTURES = ("{}", "images/{}", "images", "data", "")
Annotations = Mapping[Path, tuple[Mapping[str, Any], tuple[Mapping[str, Any], ...]]]


class CocoJson:
    """annotations/instances_SPLIT.json with pictures, or _annotations.coco.json beside them."""

    tree = "annotations/instances_train.json and train/, or train/_annotations.coco.json"

    def recognize(self, root: Path) -> str | None:
        """Tell whether a file with one of COCO's usual names is there."""
        files = _files(root)
        found = next((path for listed in files.values() for path in listed), None)
        return None if found is None else found.relative_to(root).as_posix()

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split; one file without a split's name in its own holds all of them.

        Raises:
            DataError: the file of the split or a picture is missing, or the JSON is malformed.
        """
        files = _files(root)
        own = [s for s in SPLITS if files.get(s)]
        part = split if split in own else ""
        held_back = not part
        if not part and split != "test" and "train" in own and "val" not in own:
            part = "train"
        held_back = held_back or (part == "train" and "val" not in own)
        listed = files.get(part, [])
        if len(listed) != 1:
            known = ", ".join(own) or "none"
            raise DataError(
                f"{listed[0]} and {listed[1].name} are both of {part or 'all splits'}; keep one"
                if listed
                else f"{root}: no annotation file for {split}; expected "
                f"annotations/instances_{split}.json; splits that are there: {known}"
            )
        return _opened(root, listed[0], part, split, options, held_back=held_back)


@dataclasses.dataclass(frozen=True)
class CocoFolder(ShapeFolder):
    """Pictures and their instances.

    Attributes:
        annotations: what the JSON says of a picture, and of its instances.
    """

    annotations: Annotations = dataclasses.field(default_factory=dict, compare=False)

    def drawn_at(self, index: int, size_hw: tuple[int, int]) -> list[Drawn]:
        """Return the instances, crowds below the others, then the largest first."""
        image, file = self.pairs[index]
        about, instances = self.annotations[image]
        where = f"{file}, image {about.get('file_name')!r}"
        said = (about.get("height", size_hw[0]), about.get("width", size_hw[1]))
        if not all(isinstance(n, int) and n > 0 for n in said):
            raise DataError(f"{where}: size {said}, expected whole numbers; export it again")
        check_size(Path(str(file)), said, size_hw, image, f"{image.name} is listed as")
        crowds, shapes = [], []
        for one in instances:
            inside = _inside(one, size_hw, where)
            if one.get("iscrowd"):
                crowds.append(Drawn(self.ignore_index, inside))
            else:
                shapes.append(Drawn(self.label_of[one["category_id"]], inside))
        return crowds + smaller_on_top(shapes)

    def files_at(self, index: int) -> tuple[Path, ...]:
        """Return the picture; the JSON holds all pictures' labels, of which one's part counts."""
        return self.pairs[index][:1]

    def content_at(self, index: int) -> str:
        """Return the hashes of the picture and of what the JSON says of its instances."""
        image = self.pairs[index][0]
        if image not in self.annotations:
            return sha256_file(image)
        facts = [
            {key: one.get(key) for key in ("category_id", "iscrowd", "segmentation", "bbox")}
            for one in self.annotations[image][1]
        ]
        return f"{sha256_file(image)} {text_digest(json.dumps(facts, sort_keys=True))}"


def _files(root: Path) -> dict[str, list[Path]]:
    """Return the annotation files by split; "" is of no split."""
    found: dict[str, list[Path]] = {}
    for folder in (path for word in WORDS if (path := root / word).is_dir()):
        if (folder / NAMES[0]).is_file():
            found.setdefault(WORDS[folder.name], []).append(folder / NAMES[0])
    if found:
        return found
    kept = sorted((root / "annotations").glob("*.json"))
    # Each picture's own JSON beside its PNG is another layout.
    kept = [path for path in kept if not path.stem.startswith(OTHERS)]
    instances = [path for path in kept if path.stem.startswith("instances")]
    named = [path for path in kept if path.name in NAMES or _split_of(path)]
    for path in instances or named or _at_root(root):
        found.setdefault(_split_of(path), []).append(path)
    return found


def _at_root(root: Path) -> list[Path]:
    return [
        path
        for path in sorted(root.glob("*.json"))
        if path.name in NAMES
        or path.stem.startswith("instances")
        or path.stem in WORDS
        or path.stem.endswith(("coco", "_annotations"))
    ]


def _split_of(path: Path) -> str:
    words = re.findall(r"[a-z]+", path.stem.lower())
    return next((WORDS[word] for word in words if word in WORDS), "")


def _opened(
    root: Path, file: Path, part: str, split: str, options: ReadOptions, *, held_back: bool
) -> CocoFolder:
    if file.stat().st_size == 0:
        raise DataError(f"{file}: an empty file; export the annotations again")
    data = read_json(file, LARGEST_COCO)
    lists = [data.get(key) for key in ("images", "annotations", "categories")]
    for key, value in zip(("images", "annotations", "categories"), lists, strict=True):
        if not isinstance(value, list) or not all(isinstance(one, dict) for one in value):
            raise DataError(f"{file}: no list `{key}`; export it again as COCO instances")
    images, instances, categories = (value or [] for value in lists)
    by_image: dict[Any, list[Mapping[str, Any]]] = {}
    used = set()
    for number, one in enumerate(instances):
        if not isinstance(one.get("category_id"), int) or not isinstance(
            one.get("image_id"), (int, str)
        ):
            raise DataError(
                f"{file}, annotation {number}: no image_id or category_id; export again"
            )
        by_image.setdefault(one["image_id"], []).append(one)
        used.add(one["category_id"])
    named = _categories(file, categories, used)
    classes, label_of, outside = shape_classes(root, options, named, file)
    unknown = sorted(used - set(label_of))
    if unknown:
        raise DataError(f"{file}: category_id {unknown[0]} is in no `categories`; export again")
    folder = _pictures_of(root, file, part)
    annotations: dict[Path, Any] = {}
    pairs = _paired(folder, file, images, by_image, annotations)
    pairs, notes = labelled_pairs(pairs, options, str(file))
    what = split
    if held_back:
        pairs, what = split_pairs(pairs, split, {}, options)
    return CocoFolder(
        f"{root.name} ({what})",
        tuple(pairs),
        classes.names,
        classes.palette,
        classes.ignore_index,
        blank=outside if options.unlabelled == "background" else None,
        notes=notes,
        label_of=label_of,
        under_none=outside,
        annotations=annotations,
    )


def _categories(
    file: Path, categories: list[Mapping[str, Any]], used: set[int]
) -> list[tuple[int, str]]:
    """Return id and name of each category, without one that only stands above the others."""
    above = {one.get("supercategory") for one in categories}
    named = []
    for one in categories:
        number, name = one.get("id"), one.get("name")
        if not isinstance(number, int) or not isinstance(name, str) or not name.strip():
            raise DataError(f"{file}: a category without id or name: {one}; export it again")
        # Roboflow lists the project as category 0.
        if number not in used and one.get("supercategory") == "none" and name in above:
            continue
        named.append((number, name.strip()))
    return sorted(named)


def _pictures_of(root: Path, file: Path, part: str) -> Path:
    if file.parent != root and file.parent.name != "annotations":
        return file.parent
    # COCO's instances_train2017.json goes with train2017/.
    own = [w for w in re.split(r"[_\s]+", file.stem) if _split_of(Path(w))]
    names = [*own, part, "valid" if part == "val" else part, "default"]
    for pattern in PICTURES:
        for name in names if "{}" in pattern else ("",):
            folder = root / pattern.format(name)
            named = bool(name) or "{}" not in pattern
            if named and folder.is_dir() and (folder != root or images_below(root)):
                return folder
    raise DataError(
        f"{root}: {file.name} is there, its pictures are not; copy them to "
        f"{root / (part or 'images')}/, or export again with the images"
    )


def _paired(
    folder: Path,
    file: Path,
    images: list[Mapping[str, Any]],
    by_image: Mapping[Any, list[Mapping[str, Any]]],
    annotations: dict[Path, Any],
) -> list[Pair]:
    found = images_below(folder)
    by_name: dict[str, list[Path]] = {}
    for path in found:
        by_name.setdefault(stem_of(path), []).append(path)
    lacking = []
    for one in images:
        name = one.get("file_name")
        if not isinstance(name, str) or "id" not in one:
            raise DataError(f"{file}: an image without id or file_name; export it again")
        given = PurePosixPath(name.replace("\\", "/"))
        likely = by_name.get(stem_of(Path(given.name)), [])
        if len(likely) > 1:
            exact = [path for path in likely if path.as_posix().endswith(f"/{given}")]
            likely = exact or [path for path in likely if path.parent == folder]
        if len(likely) != 1:
            lacking.append(name)
            continue
        if likely[0] in annotations:
            raise DataError(f"{file}: two images of the file name {name!r}; export it again")
        annotations[likely[0]] = (one, tuple(by_image.get(one["id"], ())))
    if lacking:
        raise DataError(
            f"{folder}: {lacking[0]} is listed in {file.name} and not there ({len(lacking)} of "
            f"{len(images)} pictures); copy the pictures there"
        )
    if not annotations:
        raise DataError(f"{file}: no images are listed; export the annotations again")
    return [(path, file if path in annotations else None) for path in found]


def _inside(
    one: Mapping[str, Any], size_hw: tuple[int, int], where: str
) -> Bool[np.ndarray, "h w"]:
    shape = one.get("segmentation")
    said = f"{where}, annotation {one.get('id')}"
    if isinstance(shape, dict):
        return _run_lengths(shape, size_hw, said)
    if not isinstance(shape, list) or not shape:
        raise DataError(
            f"{said}: a box without a mask; export polygons (instance segmentation), not detection"
        )
    inside = np.zeros(size_hw, np.bool_)
    for outline in shape:
        inside |= polygon(points_of(outline, said), size_hw)
    return inside


def _run_lengths(
    shape: Mapping[str, Any], size_hw: tuple[int, int], where: str
) -> Bool[np.ndarray, "h w"]:
    """Draw run lengths, counted down the columns, of outside and inside in turn.

    Read here, not by pycocotools: a board would need one more compiled package, and counts that do
    not fill the picture must be refused. A test compares the two.
    """
    counts = shape.get("counts")
    if isinstance(counts, str):
        counts = _unpacked(counts, where)
    whole = isinstance(counts, list) and all(type(n) is int and n >= 0 for n in counts)
    pixels = size_hw[0] * size_hw[1]
    if shape.get("size") != list(size_hw) or not whole or sum(counts or ()) != pixels:
        raise DataError(
            f"{where}: run lengths that are not of {size_hw[0]}x{size_hw[1]} pixels; export again"
        )
    turns = np.arange(len(counts or ())) % 2 == 1
    inside: Bool[np.ndarray, "h w"] = np.repeat(turns, list(counts or ())).reshape(
        size_hw, order="F"
    )
    return inside


def _unpacked(text: str, where: str) -> list[int]:
    """Return the counts of COCO's packed text: 5 bits a letter, each less the one two before."""
    counts: list[int] = []
    value = bits = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or bits > 30:
            raise DataError(f"{where}: {letter!r} is in no run length of COCO; export again")
        value |= (code & 31) << bits
        bits += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << bits
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = bits = 0
    return counts
