"""Flicker: measures how many labels change where the picture does not."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from edgeseg.runtime.sinks.base import Prediction
from edgeseg.runtime.streaming.observer import Observer

WIDTH = 160
STILL = 6  # grey levels; averaged over a cell, sensor noise stays below
AROUND = 5  # cells; a network sees its surroundings, so they must stand still as well


class Flicker(Observer):
    """Share of still cells whose label differs from the frame before.

    Pictures are averaged down to cells, WIDTH across. A cell is still when neither it nor its
    neighbours changed by more than STILL grey levels. It needs no truth: a steady scene has steady
    labels, so a change is a mistake of one frame or the other.
    """

    name = "flicker"

    def __init__(self) -> None:
        """Start with no frame."""
        self._grey: np.ndarray | None = None
        self._labels: np.ndarray | None = None
        self._kernel = np.ones((AROUND, AROUND), np.uint8)
        self._pairs = 0
        self._cells = 0
        self._still = 0
        self._changed = 0

    def add(self, prediction: Prediction) -> None:
        """Compare with the prediction before."""
        rgb, labels = prediction.frame.rgb, prediction.labels
        height = max(1, round(WIDTH * rgb.shape[0] / rgb.shape[1]))
        grey = cv2.cvtColor(
            cv2.resize(rgb, (WIDTH, height), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2GRAY
        )
        small = cv2.resize(labels, (WIDTH, height), interpolation=cv2.INTER_NEAREST)
        before, labels_before = self._grey, self._labels
        self._grey, self._labels = grey, small
        if before is None or labels_before is None or before.shape != grey.shape:
            return
        moved = cv2.dilate(cv2.absdiff(grey, before), self._kernel)
        still = cv2.compare(moved, STILL, cv2.CMP_LE)
        changed = cv2.bitwise_and(still, cv2.compare(small, labels_before, cv2.CMP_NE))
        self._pairs += 1
        self._cells += grey.size
        self._still += cv2.countNonZero(still)
        self._changed += cv2.countNonZero(changed)

    def result(self) -> dict[str, Any] | None:
        """Return the rate; None when no cell ever stood still."""
        if not self._still:
            return None
        return {
            "rate": self._changed / self._still,
            "still_share": self._still / self._cells,
            "pairs": self._pairs,
        }

    def close(self) -> None:
        """Forget the frame before."""
        self._grey = self._labels = None
