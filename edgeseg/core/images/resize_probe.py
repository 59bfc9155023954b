"""Check that this machine resizes frames to a model's size as the exporting machine did.

A golden frame has the model's size already, so it cannot test the resize before it. OpenCV does
that resize, and its results differ between releases and processors. A bundle therefore contains a
small picture as the exporting machine resized it; `edgeseg verify` resizes the picture again.
"""

from __future__ import annotations

import hashlib

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.images.fit import fit_rgb

SOURCE_HW = (33, 47)
# One smaller and one larger than the picture, both of another shape: area, linear and padding run.
TARGETS_HW = ((14, 22), (40, 72))
# Steps of 255 that resizes of one rule may differ by: OpenCV's NEON and AVX code round apart.
TOLERANCE = 2


def probe_picture() -> UInt8[np.ndarray, "33 47 3"]:
    """Return the picture: integer arithmetic alone, edges and noise beside slopes."""
    row, column, channel = np.indices((*SOURCE_HW, 3))
    noise = (row * row * 7 + column * column * 13 + row * column * 3 + channel * 101) % 256
    slope = (row * 5 + column * 3 + channel * 40) % 256
    return np.where(column < SOURCE_HW[1] // 2, slope, noise).astype(np.uint8)


def fit_probe(resize: str) -> UInt8[np.ndarray, ...]:
    """Return the picture at both sizes by a model's resize rule, flat; empty for "exact"."""
    if resize == "exact":
        return np.zeros(0, np.uint8)
    picture = probe_picture()
    return np.concatenate([fit_rgb(picture, size, resize)[0].ravel() for size in TARGETS_HW])


def digest(fitted: UInt8[np.ndarray, ...]) -> str:
    """Return the SHA-256 of what the picture became."""
    return hashlib.sha256(fitted.tobytes()).hexdigest()


def largest_difference(here: UInt8[np.ndarray, ...], there: UInt8[np.ndarray, ...]) -> int:
    """Return by how many steps of 255 two machines' results differ; 255 for other shapes."""
    if here.shape != there.shape:
        return 255
    return int(np.abs(here.astype(int) - there).max(initial=0))
