"""Sinks that leave files, and the one that leaves nothing."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from edgeseg.errors import EdgesegError, SinkError, UsageError
from edgeseg.target.sink import Prediction, Sink, SinkRequest

# Left free for the end of a video, its index and what else the machine writes meanwhile.
RESERVE_BYTES = 4 << 20


class NullSink(Sink):
    """Takes predictions and forgets them."""

    def __init__(self, request: SinkRequest) -> None:
        """Remember the name."""
        self.uri = request.uri

    def write(self, prediction: Prediction) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


class VideoSink(Sink):
    """A video of the pictures with the class colours over them.

    It is written under a hidden name beside the file and renamed when it is closed. OpenCV does not
    tell when a frame could not be written, so the disk's free space is looked at before each, and
    the video ends while there is room to finish it.
    """

    def __init__(self, request: SinkRequest) -> None:
        """Check the place; the file begins with the first frame, whose size it gets.

        Raises:
            SinkError: the folder does not exist.
        """
        self.uri = request.uri
        self._path = Path(request.rest)
        if not self._path.parent.is_dir():
            raise SinkError(f"{self._path.parent} is no folder; make it before streaming into it")
        self._partial = self._path.with_name(f".{self._path.stem}.partial{self._path.suffix}")
        self._request = request
        self._size_hw: tuple[int, ...] = ()
        self._writer: Any = None

    def write(self, prediction: Prediction) -> None:
        """Append one annotated frame."""
        import cv2

        from edgeseg.core.image import overlay

        rgb = prediction.frame.rgb
        if shutil.disk_usage(self._path.parent).free < rgb.nbytes + RESERVE_BYTES:
            raise SinkError(f"{self._path} ends here, the disk is nearly full; free some space")
        if self._writer is None:
            self._size_hw = rgb.shape[:2]
            code = "MJPG" if self._path.suffix.lower() == ".avi" else "mp4v"
            self._writer = cv2.VideoWriter(
                str(self._partial),
                cv2.VideoWriter.fourcc(*code),
                self._request.fps,
                self._size_hw[::-1],
            )
            if not self._writer.isOpened():
                raise SinkError(f"{self._path} cannot be written; check the folder and the ending")
        if rgb.shape[:2] != self._size_hw:
            raise SinkError(
                f"{self._path} holds {self._size_hw} frames, the source now gives {rgb.shape[:2]}"
            )
        image = overlay(rgb, prediction.labels, self._request.palette, self._request.alpha)
        self._writer.write(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            SinkError: the file is gone, damaged, or cannot be renamed.
        """
        if self._writer is None:
            return
        import cv2

        self._writer.release()
        self._writer = None
        found = cv2.VideoCapture(str(self._partial), cv2.CAP_FFMPEG)
        readable = found.isOpened()
        found.release()
        if not readable and self._partial.exists():
            raise SinkError(
                f"{self._path} was not written: {self._partial.name} cannot be played, "
                "probably for want of space"
            )
        try:
            self._partial.replace(self._path)
        except OSError as error:
            raise SinkError(f"{self._path} was not written ({error.strerror})") from error


class MaskSink(Sink):
    """A folder with one PNG of labels per frame, named like the frame."""

    def __init__(self, request: SinkRequest) -> None:
        """Make the folder.

        Raises:
            UsageError: no folder is named.
            SinkError: it cannot be made.
        """
        if not request.rest:
            raise UsageError("masks:// needs a folder, as masks://out")
        self.uri = request.uri
        self._folder = Path(request.rest)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SinkError(f"{self._folder} cannot be made ({error.strerror})") from error

    def write(self, prediction: Prediction) -> None:
        """Write one mask, whole or not at all."""
        from edgeseg.core.image import write_png

        frame = prediction.frame
        stem = Path(frame.name).stem or f"{frame.index:06d}"
        try:
            write_png(self._folder / f"{stem}.png", prediction.labels)
        except (OSError, EdgesegError) as error:
            raise SinkError(f"{self._folder} cannot be written ({error})") from error

    def close(self) -> None:
        """Do nothing; every mask is on disk already."""
