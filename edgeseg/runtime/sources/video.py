"""Reads a video file, every frame in order."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from edgeseg.core.packages import is_installed
from edgeseg.errors import SourceError
from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, Source, SourceRequest

# Longest look through a file for its shortest distance of two pictures.
LOOK_S = 1.0
# Pictures this much closer than the mean are a variable rate, and no error of rounding.
CLOSER = 1.15
# A distance so short is a slip of a clock.
MOST_FPS = 240.0


class VideoSource(Source):
    """Frames of a video file through OpenCV's own decoder.

    Of a variable rate `fps` is the finest, so that a copy of one rate can show every frame in time.
    """

    ends = True
    reads_path = True

    def __init__(self, request: SourceRequest) -> None:
        """Open the file.

        Raises:
            SourceError: it is missing, or no video OpenCV can read.
        """
        request.options(())
        path = Path(request.rest)
        if not path.is_file():
            raise SourceError(f"{path} does not exist; give a video file, a folder or a URI")
        self.uri = request.uri
        # Absolute: FFmpeg takes what stands before a colon for a protocol, as in 12:30.mp4.
        self._capture: cv2.VideoCapture | None = cv2.VideoCapture(
            str(path.absolute()), cv2.CAP_FFMPEG
        )
        if not self._capture.isOpened():
            self.close()
            raise SourceError(f"{path} is no video OpenCV {cv2.__version__} can read; convert it")
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = _finest(path, rate) if rate > 0 else None
        # The container's own count; it may be missing or wrong, so it only feeds progress bars and
        # the warning that a file was cut off.
        count = int(self._capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.length = count if count > 0 else None
        self._clock = request.clock
        self._next = 0

    def read(self, timeout_s: float) -> Frame | Ending:
        """Decode the next frame."""
        if self._capture is None:
            return Outcome.END
        start = self._clock()
        found, bgr = self._capture.read()
        if not found:
            if self._next == 0:
                raise SourceError(f"{self.uri} holds no frame OpenCV can decode; convert it")
            return Outcome.END
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        media_s = self._capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        # Where a container has no times, it stays 0.
        timed = media_s > 0 or self._next == 0
        frame = Frame(
            rgb, self._next, start, self._clock() - start, media_s=media_s if timed else None
        )
        self._next += 1
        return frame

    def close(self) -> None:
        """Close the file."""
        if self._capture is not None:
            self._capture.release()
            self._capture = None


def _finest(path: Path, mean: float) -> float:
    """Return the rate of the closest pictures of a file, `mean` where they are evenly spaced."""
    ends_at = time.monotonic() + LOOK_S
    times = list(itertools.takewhile(lambda _: time.monotonic() < ends_at, _times(path)))
    gaps = np.diff(np.sort(np.array(times, np.float64)))
    gaps = gaps[gaps > 1 / MOST_FPS]
    if gaps.size == 0:
        return mean
    # One of ten pictures may have come early.
    finest = 1 / float(np.quantile(gaps, 0.1))
    return finest if finest > CLOSER * mean else mean


def _times(path: Path) -> Iterator[float]:
    """Yield the times of a file's pictures in seconds, without decoding them where PyAV is."""
    if not is_installed("av"):
        capture = cv2.VideoCapture(str(path.absolute()), cv2.CAP_FFMPEG)
        try:
            while capture.grab():
                yield capture.get(cv2.CAP_PROP_POS_MSEC) / 1e3
        finally:
            capture.release()
        return
    import av
    from av.error import FFmpegError

    try:
        with path.open("rb") as stream, av.open(stream) as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.pts is not None and packet.time_base is not None:
                    yield float(packet.pts * packet.time_base)
    except (FFmpegError, OSError, IndexError, ValueError):
        # What OpenCV can read all the same has the rate that OpenCV says.
        return
