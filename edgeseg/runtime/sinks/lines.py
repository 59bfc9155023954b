"""Writes one line of JSON per frame, for programs that act on what the camera shows."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from edgeseg.core.files import is_device
from edgeseg.core.metrics.confusion import class_shares
from edgeseg.errors import SinkError, UsageError
from edgeseg.runtime.sinks.base import Left, Prediction, Sink, SinkRequest
from edgeseg.runtime.sinks.places import claim_file, moved_note

NS_PER_MS = 1e6


class LinesSink(Sink):
    """Writes each frame's number, times and class shares as it is done, so a file can be followed.

    A line is written whole or, when the disk is full, is the last. The file begins with the first
    line; one that an earlier run left is never touched, this one then gets a number. A pipe or a
    device is written as it is.

    Keys of a line: `index`, `name` (empty for cameras), `unix_s` (when the frame arrived),
    `media_s` (time in the video, or by the camera's own clock; null where there is none),
    `dropped_before`, `latency_ms` (`capture`, `preprocess`, `infer` and `ready`, which runs from
    arrival to labels), `shares` (of the pixels, by class name) and `global_accuracy` (share of the
    scored pixels that are right; null without truth).
    """

    example = "{folder}/frames.jsonl"
    writes_path = True

    def __init__(
        self,
        request: SinkRequest,
        clock: Callable[[], int] = time.perf_counter_ns,
        wall: Callable[[], float] = time.time,
    ) -> None:
        """Check the place; the file begins with the first line.

        Args:
            request: where it goes and how the classes are called.
            clock: the loop's own, in nanoseconds.
            wall: seconds since 1970.

        Raises:
            UsageError: no file is named.
            SinkError: the folder does not exist, or nothing may be written there.
        """
        if not request.rest:
            raise UsageError("jsonl:// needs a file, as jsonl://frames.jsonl")
        self.uri = request.uri
        self._path = Path(request.rest)
        self._request = request
        self._names = request.class_names
        self._ignore = request.ignore_index
        self._clock, self._wall = clock, wall
        folder = self._path.parent
        if not folder.is_dir():
            raise SinkError(f"{self._path} cannot be written, {folder} is no folder; make it first")
        if self._path.is_dir():
            raise SinkError(f"{self._path} cannot be written, it is a folder; name a file in it")
        if not os.access(self._path if self._path.exists() else folder, os.W_OK):
            raise SinkError(f"{self._path} cannot be written; allow it or name another file")
        self._file: BinaryIO | None = None
        self._whole = self._lines = 0
        self._seekable = True

    def write(self, prediction: Prediction) -> None:
        """Append one line."""
        line = json.dumps(self._line(prediction), ensure_ascii=False).encode() + b"\n"
        try:
            if self._file is None:
                self._file = self._begin()
            written = self._file.write(line)
        except OSError as error:
            raise SinkError(f"{self._path} cannot be written ({error.strerror})") from error
        if written != len(line):
            with contextlib.suppress(OSError):
                self._file.truncate(self._whole)
            raise SinkError(f"{self._path} cannot take a whole line; free some space on the disk")
        self._whole += written
        self._lines += 1

    def _begin(self) -> BinaryIO:
        # Unbuffered: a line is there as soon as its frame is done, and a full disk is seen.
        if is_device(self._path):
            self._seekable = False
            return self._path.open("wb", buffering=0)
        asked = self._path
        handle, self._path = claim_file(asked, replace=self._request.replace)
        if self._path != asked:
            self._request.tell(moved_note(asked, self._path))
        return os.fdopen(handle, "wb", buffering=0)

    def finish(self) -> Left | None:
        """Close the file and count its lines."""
        if self._file is None or self._file.closed:
            return None
        self._file.close()
        if not self._seekable:
            return Left(str(self._path), self._lines, self._lines)
        try:
            held = self._lines
            if self._path.stat().st_size != self._whole:
                with self._path.open("rb") as stream:
                    held = min(self._lines, sum(1 for line in stream if line.endswith(b"\n")))
        except OSError as error:
            problem = f"{self._path} cannot be read back ({error.strerror})"
            return Left(str(self._path), self._lines, 0, problem)
        problem = ""
        if held < self._lines:
            problem = f"{self._path} holds {held} of the {self._lines} lines that were written"
        return Left(str(self._path), self._lines, held, problem)

    def _line(self, prediction: Prediction) -> dict[str, Any]:
        frame, labels = prediction.frame, prediction.labels
        took = prediction.took_ns()
        shares = class_shares(labels, len(self._names))
        return {
            "index": frame.index,
            "name": frame.name,
            "unix_s": round(self._wall() - (self._clock() - frame.captured_ns) / 1e9, 3),
            "media_s": None if frame.media_s is None else round(frame.media_s, 4),
            "dropped_before": frame.dropped_before,
            "latency_ms": {name: round(ns / NS_PER_MS, 3) for name, ns in took.items()},
            "shares": {n: round(s, 5) for n, s in zip(self._names, shares, strict=True)},
            "global_accuracy": self._right(frame.truth, labels),
        }

    def _right(self, truth: np.ndarray | None, labels: np.ndarray) -> float | None:
        if truth is None:
            return None
        scored = truth != self._ignore
        n = int(np.count_nonzero(scored))
        return round(int(np.count_nonzero((truth == labels) & scored)) / n, 5) if n else None
