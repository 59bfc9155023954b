"""A backend whose labels a dense CRF refines."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from edgeseg.core.crf.labels import refined_labels
from edgeseg.core.crf.options import CrfOptions
from edgeseg.errors import BackendError
from edgeseg.runtime.backends.base import Backend


class CrfBackend(Backend):
    """The labels of another backend's scores after mean-field inference on the frame's colours.

    It works at the frame's size as the network sees it (core/crf/labels.py).

    Args:
        backend: open, and one that gives scores per class; closed with this one.
        n_classes: number of classes.
        options: of the CRF.

    Attributes:
        options: of the CRF.
        spent_ns: time that the CRF has taken so far, the network's not included.
        frames: frames that it has refined so far.
    """

    def __init__(self, backend: Backend, n_classes: int, options: CrfOptions) -> None:
        self._backend = backend
        self._n_classes = n_classes
        self.options = options
        self._labels = np.empty(backend.io.frame_shape[:3], np.uint8)
        self.io = dataclasses.replace(backend.io, runtime=f"{backend.io.runtime} + dense CRF")
        self.memory = backend.memory
        self.spent_ns = 0
        self.frames = 0

    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Return one label per pixel; see Backend.infer for who owns the array."""
        logits = self.logits(frames)
        if logits.shape[1] != self._n_classes:
            raise BackendError(
                f"the graph gives {logits.shape[1]} classes, its manifest names "
                f"{self._n_classes}; export the bundle again"
            )
        if not np.isfinite(logits).all():
            raise BackendError(
                "the network's scores are not all finite numbers; its checkpoint is damaged, train "
                "or export it again"
            )
        begin = time.perf_counter_ns()
        before = cv2.getNumThreads()
        if self.io.threads:
            cv2.setNumThreads(self.io.threads)
        try:
            for planes, frame, labels in zip(logits, frames, self._labels, strict=True):
                labels[:] = refined_labels(planes, frame, self.options)
        finally:
            if self.io.threads:
                cv2.setNumThreads(before)
        self.spent_ns += time.perf_counter_ns() - begin
        self.frames += len(frames)
        return self._labels

    def logits(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n k h2 w2"]:
        """Return the network's scores, which the CRF has not touched."""
        return self._backend.logits(frames)

    def to_json(self) -> dict[str, Any]:
        """Return the CRF's options and what it cost beside the network, for reports."""
        spent = self.spent_ns / 1e6 / self.frames if self.frames else None
        return {**self.options.to_json(), "ms_per_frame": spent}

    def close(self) -> None:
        """Close the other backend."""
        self._backend.close()


def refined(backend: Backend, n_classes: int, options: CrfOptions | None) -> Backend:
    """Return the backend behind a dense CRF, or as it is where there are no options."""
    return backend if options is None else CrfBackend(backend, n_classes, options)
