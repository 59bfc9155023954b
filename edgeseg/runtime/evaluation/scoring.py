"""Scores labels against truth, with the same code in `eval`, `bench` and the camera loop."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from typing import IO

import numpy as np
from jaxtyping import Int64, UInt8

from edgeseg.core.metrics.boundary_f1 import BoundaryF1
from edgeseg.core.metrics.confusion import ConfusionMatrix, Scores
from edgeseg.core.report import Accuracy
from edgeseg.runtime.closeable import Closeable


class Scorer(Closeable):
    """Adds up frames and gives their scores.

    The boundary measure costs more than a small network, so its label maps are put aside in an
    unnamed temporary file and measured when the scores are asked for, after the timed part.

    Args:
        n_classes: number of classes.
        ignore_index: the label that is not scored.
        boundary: whether BF is wanted.

    Attributes:
        n: frames added.
    """

    def __init__(self, n_classes: int, ignore_index: int, *, boundary: bool = False) -> None:
        self._counts = ConfusionMatrix(n_classes, ignore_index)
        self._aside: IO[bytes] | None = None
        if boundary:
            self._aside = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close
        self._boundary = BoundaryF1(n_classes, ignore_index)
        self._measured = 0
        self.n = 0

    def add(self, truth: UInt8[np.ndarray, "h w"], labels: UInt8[np.ndarray, "h w"]) -> None:
        """Count one frame.

        Raises:
            DataError: truth holds a label that is neither a class nor the ignored one.
        """
        self._counts.update(truth, labels)
        self.n += 1
        if self._aside is not None:
            np.save(self._aside, np.stack([truth, labels]))

    def scores(self) -> Scores:
        """Return the scores of all frames so far."""
        return self._counts.scores()

    def boundary(self) -> float | None:
        """Measure the frames put aside; None when BF was not asked for or nothing was counted."""
        if self._aside is None or self.n == 0:
            return None
        if self._measured < self.n:
            self._aside.seek(0)
            self._boundary = BoundaryF1(self._counts.n_classes, self._counts.ignore_index)
            for _ in range(self.n):
                truth, labels = np.load(self._aside)
                self._boundary.update(truth, labels)
            self._measured = self.n
        return self._boundary.score()

    def counts(self) -> Int64[np.ndarray, "k k1"]:
        """Return the confusion matrix so far, truth by prediction, "no class" last."""
        return self._counts.counts

    def class_boundary(self) -> tuple[float, ...]:
        """Return each class's boundary F1; empty when BF was not asked for."""
        return () if self.boundary() is None else self._boundary.per_class()

    def accuracy(
        self, class_names: Sequence[str], streaming_miou: float | None = None
    ) -> Accuracy | None:
        """Return the report's record; None when no pixel was counted."""
        scores = self.scores()
        if math.isnan(scores.global_accuracy):
            return None
        return Accuracy(
            n=self.n,
            global_accuracy=scores.global_accuracy,
            class_accuracy=scores.class_accuracy,
            miou=scores.miou,
            bf=self.boundary(),
            streaming_miou=streaming_miou,
            per_class_iou={
                name: None if math.isnan(iou) else iou
                for name, iou in zip(class_names, scores.per_class_iou, strict=True)
            },
        )

    def close(self) -> None:
        """Drop what was put aside."""
        if self._aside is not None:
            self._aside.close()
