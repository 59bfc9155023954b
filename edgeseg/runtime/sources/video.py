"""Reads a video file, every frame in order."""

from __future__ import annotations

from pathlib import Path

import cv2

from edgeseg.errors import SourceError
from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, Source, SourceRequest


class VideoSource(Source):
    """Frames of a video file through OpenCV's own decoder."""

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
        self.fps = rate if rate > 0 else None
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
