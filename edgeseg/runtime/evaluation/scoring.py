"""Scoring labels against truth, the same way in `eval`, `bench` and the camera loop."""

from __future__ import annotations

import math
import queue
import tempfile
import threading
from collections.abc import Sequence
from typing import IO

import numpy as np
from jaxtyping import Int64, UInt8

from edgeseg.core.metrics.boundary_f1 import BoundaryF1
from edgeseg.core.metrics.confusion import ConfusionMatrix, Scores
from edgeseg.core.report import Accuracy
from edgeseg.errors import DataError, EdgesegError
from edgeseg.runtime.closeable import Resource
from edgeseg.runtime.sources.base import Frame

QUEUE = 32
JOIN_S = 10.0


class Scorer(Resource):
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


class StreamingScorer(Resource):
    """mIoU of what a viewer had when each labelled frame arrived (Li et al., ECCV 2020).

    A frame is scored against the newest labels that were ready at its arrival, so a slow model
    pays for its late labels, and so do frames that were dropped. Frames that arrive before the
    first labels have nothing to be scored with and are left out.
    """

    def __init__(self, n_classes: int, ignore_index: int) -> None:
        """Start from nothing; the thread that counts starts with the first pair."""
        self._counts = ConfusionMatrix(n_classes, ignore_index)
        self._newest: UInt8[np.ndarray, "h w"] | None = None
        self._queue: queue.Queue[tuple[np.ndarray, np.ndarray] | None] = queue.Queue(QUEUE)
        self._error: EdgesegError | None = None
        self.n = 0
        self._thread: threading.Thread | None = None
        self._closed = False
        self._lock = threading.Lock()

    def arrived(self, frame: Frame) -> None:
        """Pair a frame's truth with the newest labels; called by one thread, when it arrives.

        A camera runs until it is closed, which is after the scores: what comes then is not counted.
        """
        newest = self._newest
        if frame.truth is None or newest is None:
            return
        with self._lock:
            if self._closed:
                return
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="edgeseg-streaming-score")
                self._thread.start()
            self._queue.put((frame.truth, newest))

    def ready(self, labels: UInt8[np.ndarray, "h w"]) -> None:
        """Make `labels`, which nobody changes any more, the newest."""
        self._newest = labels

    def miou(self) -> float | None:
        """Wait for the count and return the mIoU; None when no labelled pixel could be paired.

        Raises:
            DataError: truth and labels do not fit together.
        """
        self.close()
        if self._error is not None:
            raise self._error
        miou = self._counts.scores().miou
        return None if math.isnan(miou) else miou

    def close(self) -> None:
        """Count what is waiting and join the thread."""
        with self._lock:
            self._closed = True
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(JOIN_S)
            self._thread = None

    def _run(self) -> None:
        while (pair := self._queue.get()) is not None:
            truth, labels = pair
            if self._error is not None:
                continue
            try:
                if truth.shape != labels.shape:
                    raise DataError(
                        f"truth is {truth.shape}, the newest labels are {labels.shape}; a paced "
                        "replay needs frames of one size"
                    )
                self._counts.update(truth, labels)
                self.n += 1
            except EdgesegError as error:
                self._error = error
