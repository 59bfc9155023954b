"""LabelMe's JSON, one file beside each picture: polygons, boxes, circles, lines, points, masks.

A later shape is on top of an earlier one, as LabelMe draws them. What none covers is background,
label 0. The picture that a file may hold as text (imageData) is not read.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool

from edgeseg.core.data.formats.base import ReadOptions, chosen_pairs, labelled_pairs
from edgeseg.core.data.formats.parse import LARGEST_LABELME, read_json, read_text
from edgeseg.core.data.formats.roboflow import split_folder, split_folders
from edgeseg.core.data.formats.shapes import (
    BACKGROUND,
    Drawn,
    ShapeFolder,
    circle,
    distance,
    points_of,
    polygon,
    rectangle,
    shape_classes,
    stroke,
)
from edgeseg.core.data.pairs import PairFolder, check_size, pair_files
from edgeseg.core.data.splits import list_files
from edgeseg.core.images.io import decode_image
from edgeseg.core.images.names import images_below, images_in, stem_of
from edgeseg.errors import DataError

# What LabelMe's own converter draws for a line without a width, and around a point.
LINE_WIDTH, POINT_RADIUS = 10.0, 5.0
LEAST = {"polygon": 3, "rectangle": 2, "circle": 2, "line": 2, "linestrip": 2, "point": 1,
         "points": 1, "mask": 2}  # fmt: skip


class LabelMe:
    """A JSON file of the same name beside each picture, and labels.txt where it is known."""

    tree = "NAME.jpg with NAME.json beside it, in the folder itself or in train/ and val/"

    def recognize(self, root: Path) -> str | None:
        """Tell whether a JSON file has a picture's name, or stands where one is missing."""
        for folder in (root, *(p for p in sorted(root.iterdir()) if p.is_dir())):
            files = sorted(folder.glob("*.json"))
            names = {stem_of(path) for path in images_in(folder)} if files else set()
            for path in files:
                if stem_of(path) in names:
                    return path.relative_to(root).as_posix()
        return None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split: train/, val/ and test/, list files, or a part that is held back.

        Raises:
            DataError: the split or a picture's JSON is missing, or a file is malformed.
        """
        folders, lists = split_folders(root), list_files(root)
        images, held_back = root, True
        if folders and not lists:
            images, held_back = split_folder(root, folders, split)
        files = _files(images)
        pairs = pair_files(images_below(images), files)
        if not pairs:
            raise DataError(f"{images}: no images; expected NAME.jpg with NAME.json beside it")
        alone = sorted(set(files) - {file for _, file in pairs if file is not None})
        if alone:
            raise DataError(
                f"{alone[0]}: its picture is not beside it ({len(alone)} of {len(files)} JSON "
                "files); copy the pictures there, or take the files away"
            )
        names, where = _names(root)
        classes, label_of, outside = shape_classes(root, options, [(n, n) for n in names], where)
        if lists or held_back:
            pairs, notes, what = chosen_pairs(pairs, split, lists, options, str(images))
        else:
            (pairs, notes), what = labelled_pairs(pairs, options, str(images)), split
        return LabelMeFolder(
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
class LabelMeFolder(ShapeFolder):
    """Pictures and the shapes of their JSON files."""

    def drawn_at(self, index: int, size_hw: tuple[int, int]) -> list[Drawn]:
        """Return the shapes in the file's order."""
        image, path = self.pairs[index]
        if path is None:
            return []
        data = read_json(path, LARGEST_LABELME)
        said = (data.get("imageHeight") or size_hw[0], data.get("imageWidth") or size_hw[1])
        if not all(isinstance(n, int) and n > 0 for n in said):
            raise DataError(f"{path}: size {said}, expected whole numbers; save it again")
        check_size(path, said, size_hw, image, "its shapes were drawn on")
        drawn = []
        for number, shape in enumerate(_shapes(path, data)):
            where = f"{path}, shape {number + 1}"
            name = shape["label"].strip()
            if name not in self.label_of:
                raise DataError(f"{where}: {name!r} is no class; add it to labels.txt")
            drawn.append(Drawn(self.label_of[name], _inside(shape, size_hw, where)))
        return drawn


def _files(folder: Path) -> list[Path]:
    files = (path for path in folder.rglob("*.json") if not path.name.startswith("."))
    return sorted(files)


def _shapes(path: Path, data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    shapes = data.get("shapes")
    if not isinstance(shapes, list) or not all(
        isinstance(one, dict) and isinstance(one.get("label"), str) for one in shapes
    ):
        raise DataError(f"{path}: no list `shapes` of labels and points; save it again in LabelMe")
    return shapes


def _names(root: Path) -> tuple[list[str], Path]:
    """Return the labels of labels.txt, else all that any file has, by name."""
    listed = root / "labels.txt"
    if listed.is_file():
        lines = (line.strip() for line in read_text(listed).splitlines())
        return [line for line in lines if line], listed
    found: set[str] = set()
    for path in _files(root):
        found |= _labels_in(path, path.stat().st_mtime_ns)
    return sorted(found, key=lambda name: (name.lower() not in BACKGROUND, name)), root


@functools.lru_cache(maxsize=100_000)
def _labels_in(path: Path, _changed: int) -> frozenset[str]:
    shapes = _shapes(path, read_json(path, LARGEST_LABELME))
    return frozenset(shape["label"].strip() for shape in shapes)


def _inside(
    shape: Mapping[str, Any], size_hw: tuple[int, int], where: str
) -> Bool[np.ndarray, "h w"]:
    kind = shape.get("shape_type") or "polygon"
    if kind not in LEAST:
        raise DataError(f"{where}: shape_type {kind!r} is unknown; use one of {', '.join(LEAST)}")
    points = points_of(shape.get("points"), where)
    if len(points) < LEAST[kind]:
        raise DataError(f"{where}: a {kind} of {len(points)} points, expected {LEAST[kind]}")
    if kind == "polygon":
        return polygon(points, size_hw)
    if kind == "rectangle":
        # Two corners, or the four of a turned one.
        return polygon(points, size_hw) if len(points) == 4 else rectangle(points, size_hw)
    if kind == "circle":
        return circle(points[0], distance(points[0], points[1]), size_hw)
    if kind == "mask":
        return _pasted(shape.get("mask"), points, size_hw, where)
    if kind in ("point", "points"):
        inside = np.zeros(size_hw, np.bool_)
        for point in points:
            inside |= circle(point, POINT_RADIUS, size_hw)
        return inside
    width = shape.get("line_width") or LINE_WIDTH
    if not isinstance(width, (int, float)) or not 0 < width < 10_000:
        raise DataError(f"{where}: line_width {width!r}, expected pixels")
    return stroke(points, float(width), size_hw)


def _pasted(
    text: Any, points: np.ndarray, size_hw: tuple[int, int], where: str
) -> Bool[np.ndarray, "h w"]:
    """Draw a mask that the file holds as a PNG, its upper left corner at the first point."""
    try:
        data = base64.b64decode(str(text), validate=True)
    except (ValueError, binascii.Error) as error:
        raise DataError(f"{where}: its mask is no base64 text; save it again") from error
    part = decode_image(Path(where), data, cv2.IMREAD_GRAYSCALE) != 0
    left, top = (int(value) for value in np.round(points.min(0)))
    inside = np.zeros(size_hw, np.bool_)
    x, y = max(left, 0), max(top, 0)
    part = part[y - top :, x - left :][: max(size_hw[0] - y, 0), : max(size_hw[1] - x, 0)]
    inside[y : y + part.shape[0], x : x + part.shape[1]] = part
    return inside
