"""Which pictures of a data set to look at: the telling ones, look-alikes, doubtful masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.data.census import Census
from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.sampling import spread_indices
from edgeseg.core.images.fit import resize_labels, resize_rgb

TELLING = 12
# Pictures that differ in no more of the 64 bits of their look are called look-alikes.
LOOK_ALIKE_BITS = 3
# Masks of so many pictures are compared with the edges of their picture.
COMPARED = 200
# Pixels by which a mask is moved, in a picture at most COMPARED_WIDTH wide.
SHIFTS = (-12, -8, -4, 0, 4, 8, 12)
COMPARED_WIDTH = 320
# A mask that lies on this many times stronger edges when it is moved looks shifted.
SHIFTED = 1.6


@dataclasses.dataclass(frozen=True)
class Pointed:
    """A picture worth a look.

    Attributes:
        dataset: the split.
        index: of the picture in it.
        why: for its caption.
    """

    dataset: Dataset
    index: int
    why: str


def telling_pictures(parts: Sequence[Census], most: int = TELLING) -> list[Pointed]:
    """Return the pictures that tell most: each class where it is largest, the smallest, most void.

    Args:
        parts: the census of each split.
        most: how many pictures at most; each appears once.
    """
    found: dict[tuple[int, int], str] = {}
    rows = [
        (place, index, fact.pixels, sum(fact.pixels.values()))
        for place, part in enumerate(parts)
        for index, fact in enumerate(part.facts)
        if fact.pixels
    ]
    names = parts[0].dataset.class_names if parts else ()
    for label, name in enumerate(names):
        share = max(rows, key=lambda row: row[2].get(label, 0) / row[3], default=None)
        if share and share[2].get(label):
            text = f"{name} is largest: {100 * share[2][label] / share[3]:.1f} %"
            found.setdefault(share[:2], text)
    small = sorted(
        (count, label, row)
        for row in rows
        for label, count in row[2].items()
        if label < len(names) and count / row[3] < 0.05
    )
    void = sorted(rows, key=lambda row: -_void(row[2], len(names)) / row[3])
    for row in void[:1]:
        if _void(row[2], len(names)):
            text = f"most void: {100 * _void(row[2], len(names)) / row[3]:.1f} %"
            found.setdefault(row[:2], text)
    for count, label, row in small:
        if len(found) >= most:
            break
        found.setdefault(row[:2], f"smallest {names[label]}: {count} pixels")
    picked = list(found.items())[:most]
    return [Pointed(parts[place].dataset, index, why) for (place, index), why in picked]


def look_alikes(train: Census, val: Census, most: int = 12) -> list[tuple[Pointed, Pointed]]:
    """Return pictures of val with the picture of train that looks nearly the same."""
    there = [(index, fact.look) for index, fact in enumerate(train.facts) if fact.digest]
    looks = np.array([look for _, look in there], np.uint64)
    pairs: list[tuple[int, Pointed, Pointed]] = []
    for index, fact in enumerate(val.facts):
        if not fact.digest or not len(looks):
            continue
        bits = np.bitwise_xor(looks, np.uint64(fact.look)).view(np.uint8).reshape(-1, 8)
        differing = np.unpackbits(bits, axis=1).sum(1)
        nearest = int(differing.argmin())
        least = int(differing[nearest])
        if least <= LOOK_ALIKE_BITS:
            first = Pointed(train.dataset, there[nearest][0], "train")
            pairs.append((least, first, Pointed(val.dataset, index, "val")))
    pairs.sort(key=lambda pair: pair[0])
    return [(first, second) for _, first, second in pairs[:most]]


def doubtful_masks(part: Census, most: int = 12) -> list[Pointed]:
    """Return pictures whose mask is empty, one class from edge to edge, or looks shifted.

    Args:
        part: the census of a split.
        most: how many pictures at most.
    """
    dataset, found = part.dataset, []
    classes = len(dataset.class_names)
    for index, fact in enumerate(part.facts):
        labels = [label for label in fact.pixels if label < classes]
        if fact.pixels and not labels:
            found.append(Pointed(dataset, index, "all void"))
        elif len(fact.pixels) == 1:
            found.append(Pointed(dataset, index, f"all {dataset.class_names[labels[0]]}"))
    known = {pointed.index for pointed in found}
    readable = [i for i, fact in enumerate(part.facts) if len(fact.pixels) > 1 and i not in known]
    for place in spread_indices(len(readable), COMPARED):
        sample = dataset[readable[place]]
        if sample.labels is not None and (moved := shift_of(sample.rgb, sample.labels)):
            why = f"mask looks shifted by {moved[0]:+d}, {moved[1]:+d} pixels (right, down)"
            found.append(Pointed(dataset, readable[place], why))
    return found[:most]


def shift_of(
    rgb: UInt8[np.ndarray, "h w 3"], labels: UInt8[np.ndarray, "h w"]
) -> tuple[int, int] | None:
    """Return by how much a mask seems to be moved against its picture, None where it fits.

    The outline of a mask that fits lies on the picture's edges. Where it lies on edges SHIFTED
    times as strong after moving it, it was moved the other way.

    Returns:
        Pixels to the right and down, of the picture as it is.
    """
    height, width = labels.shape
    scale = min(1.0, COMPARED_WIDTH / width)
    size = (max(1, round(height * scale)), max(1, round(width * scale)))
    small, mask = resize_rgb(rgb, size), resize_labels(labels, size)
    grey = cv2.GaussianBlur(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), (0, 0), 1.0)
    edges = cv2.morphologyEx(grey, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    outline = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, np.ones((2, 2), np.uint8)) > 0
    reach = max(SHIFTS)
    if min(size) <= 4 * reach:
        return None
    inner = outline[reach:-reach, reach:-reach]
    if inner.sum() < 50:
        return None
    strengths = {}
    for right in SHIFTS:
        for down in SHIFTS:
            rows = slice(reach + down, size[0] - reach + down)
            columns = slice(reach + right, size[1] - reach + right)
            strengths[right, down] = float(edges[rows, columns][inner].mean())
    best = max(strengths, key=lambda shift: strengths[shift])
    # Two grey levels of difference are noise.
    if best == (0, 0) or strengths[best] < SHIFTED * max(strengths[0, 0], 2.0):
        return None
    return -round(best[0] / scale), -round(best[1] / scale)


def _void(pixels: Mapping[int, int], classes: int) -> int:
    return sum(count for label, count in pixels.items() if label >= classes)
