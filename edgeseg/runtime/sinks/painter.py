"""Painter: paints a prediction over its picture, with a legend where one was asked for."""

from __future__ import annotations

import collections

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.images.legend import Row, with_legend
from edgeseg.core.images.paint import overlay
from edgeseg.core.stage_times import frames_per_second
from edgeseg.runtime.sinks.base import Prediction, SinkRequest

# The rate is that of so many frames.
RECENT = 30
# A network of more classes shows those that the picture has.
MOST_ROWS = 24


class Painter:
    """Paints predictions in order.

    The legend has every class in label order, so that it stands still from frame to frame, and the
    frames per second of the last second or so.

    Args:
        request: palette, alpha and whether there is a legend.
    """

    def __init__(self, request: SinkRequest) -> None:
        self._request = request
        self._ready: collections.deque[int] = collections.deque(maxlen=RECENT)

    def __call__(self, prediction: Prediction) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture with the class colours over it."""
        request = self._request
        image = overlay(prediction.frame.rgb, prediction.labels, request.palette, request.alpha)
        return with_legend(image, self._rows(prediction)) if request.legend else image

    def _rows(self, prediction: Prediction) -> list[Row]:
        self._ready.append(prediction.ready_ns)
        names: list[Row] = list(zip(self._request.class_names, self._request.palette, strict=False))
        if len(names) > MOST_ROWS:
            there = np.bincount(prediction.labels.ravel(), minlength=len(names))
            names = [row for row, count in zip(names, there, strict=False) if count][:MOST_ROWS]
        fps = frames_per_second(len(self._ready), self._ready[0], self._ready[-1])
        return [*names, (f"{fps:.1f} FPS" if fps else "- FPS", None)]
