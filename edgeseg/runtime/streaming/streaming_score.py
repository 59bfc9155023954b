"""Scores a live source by the labels a viewer had when each frame arrived."""

from __future__ import annotations

import math
import queue
import threading

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.metrics.confusion import ConfusionMatrix
from edgeseg.errors import DataError, EdgesegError
from edgeseg.runtime.closeable import Closeable
from edgeseg.runtime.sources.base import Frame

QUEUE = 32
JOIN_S = 10.0


class StreamingScorer(Closeable):
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
