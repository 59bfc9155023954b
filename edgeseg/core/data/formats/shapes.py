"""Draws outlines into labels, one rule for every tool, and a data set whose labels are shapes.

The rule: a pixel is inside a shape when its centre is. The pixel of column x and row y has its
centre at (x + 0.5, y + 0.5); (0, 0) is the upper left corner of the picture. A centre on a left or
upper edge is inside, on a right or lower edge outside, so that shapes that share an edge leave no
gap and share no pixel. An outline that crosses itself is filled by the even-odd rule.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from edgeseg.core.data.classes import Classes, make_classes
from edgeseg.core.data.fingerprint import digest_of
from edgeseg.core.data.formats.parse import VOID, own_classes
from edgeseg.core.data.masks import Mask
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.data.read_options import ReadOptions
from edgeseg.core.files import sha256_file
from edgeseg.errors import DataError

BACKGROUND = ("background", "_background_")
# An outline with more points is no outline that a person drew.
MOST_POINTS = 1_000_000
FARTHEST = 1e7


@dataclasses.dataclass(frozen=True)
class Drawn:
    """The pixels of one shape.

    Attributes:
        label: what they are.
        inside: the pixels, of the picture's size.
    """

    label: int
    inside: Bool[np.ndarray, "h w"]


def points_of(flat: Any, where: str) -> Float[np.ndarray, "n 2"]:
    """Return the points of `[x, y, x, y, ...]` or `[[x, y], ...]`.

    Raises:
        DataError: no such numbers, or numbers that lie in no picture.
    """
    try:
        points = np.array(flat, np.float64).reshape(-1, 2)
    except (TypeError, ValueError, OverflowError):
        points = np.full((1, 2), np.nan)
    if not (np.abs(points) < FARTHEST).all() or not 0 < len(points) <= MOST_POINTS:
        raise DataError(f"{where}: expected points `x, y, x, y, ...` in pixels; export it again")
    return points


def polygon(points: Float[np.ndarray, "n 2"], size_hw: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Return the pixels inside a closed outline.

    Args:
        points: x and y in pixels; the last is joined to the first.
        size_hw: of the picture.
    """
    height, width = size_hw
    ends = np.roll(points, -1, axis=0)
    downwards = points[:, 1] <= ends[:, 1]
    upper = np.where(downwards[:, None], points, ends)
    lower = np.where(downwards[:, None], ends, points)
    # An edge crosses the rows whose centres are at or below its upper end and above its lower one.
    first = np.clip(np.ceil(upper[:, 1] - 0.5), 0, height).astype(np.int64)
    past = np.clip(np.ceil(lower[:, 1] - 0.5), 0, height).astype(np.int64)
    crossings = np.zeros((height, width + 1), np.uint8)
    for edge in np.flatnonzero(past > first):
        rows = np.arange(first[edge], past[edge])
        (x0, y0), (x1, y1) = upper[edge], lower[edge]
        x = x0 + (rows + 0.5 - y0) * ((x1 - x0) / (y1 - y0))
        columns = np.clip(np.ceil(x - 0.5), 0, width).astype(np.int64)
        crossings[rows, columns] ^= 1
    inside: Bool[np.ndarray, "h w"] = np.logical_xor.accumulate(crossings != 0, axis=1)[:, :width]
    return inside


def rectangle(
    points: Float[np.ndarray, "n 2"], size_hw: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Return the pixels of the upright rectangle around some points, such as two corners."""
    (left, top), (right, bottom) = points.min(0), points.max(0)
    corners = np.array([(left, top), (right, top), (right, bottom), (left, bottom)])
    return polygon(corners, size_hw)


def circle(
    centre: Float[np.ndarray, 2], radius: float, size_hw: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Return the pixels whose centres are no further than `radius` from `centre` (x, y)."""
    return stroke(np.stack([centre, centre]), 2 * radius, size_hw)


def stroke(
    points: Float[np.ndarray, "n 2"], width: float, size_hw: tuple[int, int]
) -> Bool[np.ndarray, "h w"]:
    """Return the pixels no further than half of `width` from a line through `points`."""
    inside = np.zeros(size_hw, np.bool_)
    reach = width / 2
    for start, end in itertools.pairwise(points):
        low = np.floor(np.minimum(start, end) - reach).astype(np.int64)
        high = np.ceil(np.maximum(start, end) + reach).astype(np.int64) + 1
        x0, y0 = (max(int(value), 0) for value in low)
        x1, y1 = min(int(high[0]), size_hw[1]), min(int(high[1]), size_hw[0])
        if x0 >= x1 or y0 >= y1:
            continue
        x, y = np.arange(x0, x1) + 0.5 - start[0], np.arange(y0, y1)[:, None] + 0.5 - start[1]
        dx, dy = end - start
        length = dx * dx + dy * dy
        along = (
            np.clip((x * dx + y * dy) / length, 0, 1) if length else np.zeros((y1 - y0, x1 - x0))
        )
        inside[y0:y1, x0:x1] |= np.hypot(x - along * dx, y - along * dy) <= reach
    return inside


def smaller_on_top(drawn: Sequence[Drawn]) -> list[Drawn]:
    """Return shapes in the order in which they are drawn: by their pixels, the largest first."""
    return sorted(drawn, key=lambda shape: -int(shape.inside.sum()))


@dataclasses.dataclass(frozen=True)
class ShapeFolder(PairFolder):
    """Pictures whose labels are drawn from shapes. A subclass tells the shapes of a picture.

    Attributes:
        label_of: the label of each name (or number) that shapes have in the files.
        under_none: the label of pixels that no shape covers.
    """

    label_of: dict[Any, int] = dataclasses.field(default_factory=dict, compare=False)
    under_none: int = 0

    def drawn_at(self, index: int, size_hw: tuple[int, int]) -> list[Drawn]:
        """Return the shapes of one picture in the order in which they are drawn."""
        raise NotImplementedError

    def labels_at(self, index: int, size_hw: tuple[int, int]) -> Mask | None:
        """Draw the labels of one picture; None where there is no truth.

        Raises:
            DataError: the file of the shapes is missing or malformed.
        """
        if self.pairs[index][1] is None:
            return super().labels_at(index, size_hw)
        labels = np.full(size_hw, self.under_none, np.uint8)
        for shape in self.drawn_at(index, size_hw):
            labels[shape.inside] = shape.label
        return Mask(labels)

    def content_at(self, index: int) -> str:
        """Return text that changes when the picture or its shapes do."""
        return " ".join(sha256_file(path) for path in self.files_at(index))

    def fingerprint(self, indices: Sequence[int] | None = None) -> str:
        """Hash the pictures, their shapes, and what decides how shapes become labels."""
        wanted = range(len(self)) if indices is None else indices
        reading = {
            **self.reading(),
            "labels": sorted((str(key), label) for key, label in self.label_of.items()),
            "under_none": self.under_none,
        }
        return digest_of(reading, (self.content_at(index) for index in wanted))


def shape_classes(
    root: Path, options: ReadOptions, named: Sequence[tuple[Any, str]], where: Path
) -> tuple[Classes, dict[Any, int], int]:
    """Return the classes of shapes, the label of each key, and the label under no shape.

    Label 0 is the background, under no shape; the names follow in their order. A user's
    classes.txt goes before: it is matched by name, or by `name = key` where keys are numbers; what
    no shape covers is void there unless it lists a class `background`.

    Args:
        root: of the data; its classes.txt is read.
        options: what the user asks for.
        named: the key that shapes have, and its name.
        where: the file that names them, for messages.

    Raises:
        DataError: a name is there twice, or the user's file does not have it.
    """
    names = [name for _, name in named]
    own = own_classes(root, options)
    if own is None:
        kept = [n for n in names if n.lower() not in (*BACKGROUND, *VOID)]
        twice = next((n for k, n in enumerate(kept) if n in kept[:k]), None)
        if twice is not None or not 1 <= len(kept) <= 254:
            said = f"class {twice!r} is there twice" if twice else f"{len(kept)} classes"
            raise DataError(f"{where}: {said}; expected 1 to 254 names, each once")
        own = make_classes(["background", *kept])
    labels: dict[Any, int] = {}
    table = dict(own.values) if own.explained else {}
    by_name = {name.lower(): label for label, name in reversed(list(enumerate(own.names)))}
    by_name.update({name: label for label, name in enumerate(own.names)})
    outside = next((by_name[name] for name in BACKGROUND if name in by_name), own.ignore_index)
    for key, name in named:
        if key in table:
            labels[key] = table[key]
        elif name in by_name:
            labels[key] = by_name[name]
        elif name.lower() in BACKGROUND:
            labels[key] = outside
        elif name in own.ignored or name.lower() in VOID:
            labels[key] = own.ignore_index
        else:
            file = options.classes or root / "classes.txt"
            raise DataError(
                f"{file}: no line for {name!r}, a class of {where}; add a line `{name}`, or ignore "
                f"it with `{name} = void`"
            )
    return own, labels, outside


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def distance(one: np.ndarray, other: np.ndarray) -> float:
    """Return how far two points are apart."""
    return math.hypot(*(one - other))
