"""A network's scores and its frame to the CRF's labels."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float32, UInt8

from edgeseg.core.crf.mean_field import refine
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.crf.unary import resize_logits
from edgeseg.core.images.fit import PAD_VALUE


def refined_labels(
    logits: Float32[np.ndarray, "k h w"], frame: UInt8[np.ndarray, "H W 3"], options: CrfOptions
) -> UInt8[np.ndarray, "H W"]:
    """Return one label per pixel of a frame.

    Grey rows and columns at the frame's rim, which letterboxing adds, keep the network's own label
    and say nothing to the picture.

    Args:
        logits: the network's, at the size that it gives them.
        frame: as the network saw it.
        options: of the CRF.

    Raises:
        UsageError: the logits of the picture are not finite.
    """
    large = resize_logits(logits, frame.shape[:2])
    labels = large.argmax(0).astype(np.uint8)
    inner = picture_of(frame)
    cut = np.ascontiguousarray(large[(slice(None), *inner)])
    labels[inner] = refine(cut, np.ascontiguousarray(frame[inner]), options).argmax(0)
    return labels


def picture_of(frame: UInt8[np.ndarray, "h w 3"]) -> tuple[slice, slice]:
    """Return rows and columns of a frame without the grey rim that letterboxing adds.

    A frame that is grey all over is all picture.
    """
    painted = (frame != PAD_VALUE).any(2)
    rows, columns = np.flatnonzero(painted.any(1)), np.flatnonzero(painted.any(0))
    if not len(rows):
        return slice(0, frame.shape[0]), slice(0, frame.shape[1])
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
