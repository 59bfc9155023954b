"""Ultralytics' polygons: data.yaml and, for images/NAME.jpg, labels/NAME.txt.

A line is a class and the points of its outline in shares of width and height: `0 0.1 0.2 0.3 ...`.
Where outlines overlap, the one of fewer pixels is on top, as Ultralytics draws them; what none
covers is background, label 0.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from edgeseg.core.data.formats.base import ReadOptions, labelled_pairs
from edgeseg.core.data.formats.parse import read_text, read_yaml
from edgeseg.core.data.formats.shapes import (
    Drawn,
    ShapeFolder,
    points_of,
    polygon,
    shape_classes,
    smaller_on_top,
)
from edgeseg.core.data.pairs import Pair, PairFolder
from edgeseg.core.data.splits import Finder, read_list, split_pairs
from edgeseg.core.images.names import images_below, stem_of
from edgeseg.errors import DataError

NAMES = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")
KEYS = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}


class UltralyticsPolygons:
    """data.yaml with names and splits, pictures in images/ and polygons in labels/."""

    tree = "data.yaml with images/train/ and labels/train/, or train/images/ and train/labels/"

    def recognize(self, root: Path) -> str | None:
        """Tell whether data.yaml is there, or text files in labels/."""
        file = _yaml_of(root)
        if file is not None:
            return file.name
        for folder in (root / "labels", *(root / word / "labels" for word in ("train", "valid"))):
            for found in (folder, folder / "train", folder / "val"):
                if next(found.glob("*.txt"), None) is not None:
                    return f"{found.relative_to(root).as_posix()}/*.txt"
        return None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split: the folder, folders or list of pictures that data.yaml gives it.

        Raises:
            DataError: data.yaml, a folder or labels/ is missing, or the YAML is malformed.
        """
        file = _yaml_of(root)
        if file is None:
            raise DataError(
                f"{root}: no data.yaml; expected one with `train: images/train`, `val: images/val` "
                "and `names: [box, person]`; write it, or export again"
            )
        said = read_yaml(file)
        named = _names(file, said)
        classes, label_of, outside = shape_classes(root, options, named, file)
        there = [s for s, keys in KEYS.items() if any(said.get(key) for key in keys)]
        same = "val" in there and _value(said, "val") == _value(said, "train")
        held_back = split != "test" and ("val" not in there or same) and "train" in there
        part = "train" if held_back else split
        if part not in there:
            raise DataError(
                f"{file}: no `{part}:`; splits that are there: {', '.join(there) or 'none'}; add a "
                f"line such as `{part}: images/{part}`"
            )
        images = [
            image
            for given in _listed(file, part, _value(said, part))
            for image in _images(root, file, said, given)
        ]
        images = sorted(dict.fromkeys(images))
        if not images:
            raise DataError(f"{file}: no images for `{part}:`; copy the pictures there")
        pairs: list[Pair] = [(image, _labels_of(image)) for image in images]
        if all(labels is None for _, labels in pairs):
            raise DataError(
                f"{images[0]}: no {_beside(images[0])}, nor for any of {len(images)} pictures; "
                "export the labels again"
            )
        pairs, notes = labelled_pairs(pairs, options, "labels/")
        what = split
        if held_back:
            pairs, what = split_pairs(pairs, split, {}, options)
        return PolygonFolder(
            f"{root.name} ({what})",
            tuple(pairs),
            classes.names,
            classes.palette,
            classes.ignore_index,
            blank=outside if options.unlabelled == "background" else None,
            notes=notes,
            label_of=label_of,
            under_none=outside,
        )


@dataclasses.dataclass(frozen=True)
class PolygonFolder(ShapeFolder):
    """Pictures and the lines of their text files."""

    def drawn_at(self, index: int, size_hw: tuple[int, int]) -> list[Drawn]:
        """Return the outlines, the largest first."""
        path = self.pairs[index][1]
        drawn = []
        lines = read_text(path).splitlines() if path is not None else []
        for number, line in enumerate(lines, 1):
            where = f"{path}, line {number}"
            words = line.split()
            if not words:
                continue
            if len(words) == 5:
                raise DataError(
                    f"{where}: a box (class, centre, size), not an outline; export polygons "
                    "(segmentation), not detection"
                )
            if not words[0].isdecimal() or int(words[0]) not in self.label_of:
                raise DataError(
                    f"{where}: class {words[0]!r} is in no `names` of data.yaml; expected 0 to "
                    f"{len(self.label_of) - 1}: add its name"
                )
            shares = points_of(words[1:], where)
            if len(shares) < 3 or (shares < -0.01).any() or (shares > 1.01).any():
                raise DataError(
                    f"{where}: expected three points or more, in shares of 0 to 1; export it again"
                )
            inside = polygon(shares * (size_hw[1], size_hw[0]), size_hw)
            drawn.append(Drawn(self.label_of[int(words[0])], inside))
        return smaller_on_top(drawn)


def _yaml_of(root: Path) -> Path | None:
    usual = next((p for name in NAMES if (p := root / name).is_file()), None)
    if usual is not None or not ((root / "images").is_dir() or (root / "labels").is_dir()):
        return usual
    others = sorted((*root.glob("*.yaml"), *root.glob("*.yml")))
    return others[0] if len(others) == 1 and (root / "labels").is_dir() else None


def _value(said: dict[Any, Any], part: str) -> Any:
    return next((said[key] for key in KEYS[part] if said.get(key)), None)


def _names(file: Path, said: dict[Any, Any]) -> list[tuple[int, str]]:
    """Return number and name of each class: of a list, or of `0: name` lines."""
    names = said.get("names")
    found = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(found, dict) or not found or len(found) > 254:
        raise DataError(f"{file}: no `names:`; expected `names: [box, person]`, 254 at most")
    listed: list[tuple[int, str]] = []
    for key, name in found.items():
        number = int(key) if str(key).isdecimal() else None
        if number is None or not isinstance(name, (str, int)) or not str(name).strip():
            raise DataError(f"{file}: names: {key!r}: {name!r}; expected `0: box`")
        listed.append((number, str(name).strip()))
    count = said.get("nc")
    if count is not None and count != len(listed):
        raise DataError(f"{file}: nc is {count}, but names has {len(listed)}; make them the same")
    return sorted(listed)


def _listed(file: Path, part: str, value: Any) -> Sequence[str]:
    given = value if isinstance(value, list) else [value]
    if not all(isinstance(one, str) and one.strip() for one in given):
        raise DataError(f"{file}: `{part}: {value}`; expected a folder, folders or a list file")
    return given


def _images(root: Path, file: Path, said: dict[Any, Any], given: str) -> list[Path]:
    """Return the pictures of a folder or of a list file."""
    place = _place(root, said.get("path"), given)
    if place is None:
        raise DataError(
            f"{file}: {given} is not there, nor below {root}; copy it there, or mend the line"
        )
    if place.is_dir():
        return images_below(place)
    images = images_below(root)
    return [images[k] for k in read_list(place, Finder(images))]


def _place(root: Path, path: Any, given: str) -> Path | None:
    """Return where a path of data.yaml leads: it often begins on another machine."""
    said = PurePosixPath(given.replace("\\", "/"))
    above = PurePosixPath(path.replace("\\", "/")) if isinstance(path, str) else PurePosixPath()
    parts = [part for part in said.parts if part not in ("..", ".", "/")]
    # Below the data's own folder first: what another folder holds is not meant.
    likely = [root / above / said, root / said]
    likely += [root.joinpath(*parts[k:]) for k in range(len(parts))]
    return next((p for p in likely if p.exists() and p.resolve() != root.resolve()), None)


def _beside(image: Path) -> Path:
    """Return where a picture's labels are: labels/ in the place of the last images/."""
    parts = list(image.parent.parts)
    for k in range(len(parts) - 1, -1, -1):
        if re.fullmatch(r"images", parts[k], re.IGNORECASE):
            parts[k] = "labels"
            break
    return Path(*parts, f"{image.stem}.txt")


def _labels_of(image: Path) -> Path | None:
    path = _beside(image)
    if path.is_file():
        return path
    if image.stem.isascii():
        return None
    # macOS decomposes the letters of names, Linux does not.
    return next((p for p in path.parent.glob("*.txt") if stem_of(p) == stem_of(image)), None)
