"""Sinks that write a video or masks, and the null sink, which writes nothing."""

from __future__ import annotations

import shutil
import struct
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.core.files import atomic_write_bytes
from edgeseg.core.images.names import is_image_name
from edgeseg.errors import SinkError, UsageError
from edgeseg.runtime.sinks.base import Prediction, Sink, SinkRequest

# Left free for the end of a video, its index and what else the machine writes meanwhile.
RESERVE_BYTES = 4 << 20
REPEAT_S = 10.0  # scene time that one picture may stand for
# A PNG's signature and first chunk, which has the size; other chunks may follow from here on.
PNG_HEAD_BYTES = 33
_TEXT = b"tEXtSoftware\0edgeseg stream"
# Stands in every mask of this sink, so that it knows its own again. Readers of PNG pass over it.
MARK = struct.pack(">I", len(_TEXT) - 4) + _TEXT + struct.pack(">I", zlib.crc32(_TEXT))


class NullSink(Sink):
    """Takes predictions and forgets them."""

    example = "null"

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

    The file has one rate, so a frame stands there once for itself and once for each that was
    dropped before it: the video of a camera lasts as long as the scene did. One frame is repeated
    for REPEAT_S at most, and for no longer than half of the time that the repeats play: where
    encoding is the slowest stage, repeats would cost further frames, and the video plays faster.
    """

    example = "{folder}/out.avi"
    writes_path = True

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
        self._in_use = threading.Lock()

    def write(self, prediction: Prediction) -> None:
        """Append one annotated frame, again for each frame dropped before it."""
        with self._in_use:
            self._write(prediction)

    def _write(self, prediction: Prediction) -> None:
        import cv2

        from edgeseg.core.images.paint import overlay

        rgb = prediction.frame.rgb
        self._check_room(rgb.nbytes)
        if self._writer is None:
            self._size_hw = rgb.shape[:2]
            code = "MJPG" if self._path.suffix.lower() == ".avi" else "mp4v"
            # Absolute: FFmpeg takes what stands before a colon for a protocol.
            self._writer = cv2.VideoWriter(
                str(self._partial.absolute()),
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
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        self._writer.write(bgr)
        fps = self._request.fps
        repeats = min(prediction.frame.dropped_before, round(REPEAT_S * fps))
        ends_at = time.monotonic() + repeats / fps / 2
        for _ in range(repeats):
            if time.monotonic() >= ends_at:
                break
            self._check_room(rgb.nbytes)
            self._writer.write(bgr)

    def _check_room(self, n: int) -> None:
        if shutil.disk_usage(self._path.parent).free < n + RESERVE_BYTES:
            raise SinkError(f"{self._path} ends here, the disk is nearly full; free some space")

    def close(self) -> None:
        """Finish the file and give it its name.

        Raises:
            SinkError: the file is gone, damaged, cannot be renamed, or is still being written.
        """
        # The loop leaves a sink behind that hangs in a write; to take its writer away would crash.
        if not self._in_use.acquire(blocking=False):
            raise SinkError(
                f"{self._path} was not finished, a frame is still being written; look for a disk "
                f"that hangs, {self._partial.name} holds what there is"
            )
        try:
            self._finish()
        finally:
            self._in_use.release()

    def _finish(self) -> None:
        if self._writer is None:
            return
        import cv2

        self._writer.release()
        self._writer = None
        found = cv2.VideoCapture(str(self._partial.absolute()), cv2.CAP_FFMPEG)
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
    """A folder with one PNG of labels per frame, named like the frame.

    The masks of an earlier run are replaced; a folder that holds any other image is refused, since
    pictures and their masks have equal names and nothing brings an overwritten one back.
    """

    example = "{folder}/masks/"
    writes_path = True
    names_by_image = True

    def __init__(self, request: SinkRequest) -> None:
        """Make the folder.

        Raises:
            UsageError: no folder is named, or it holds images that are no masks of this sink.
            SinkError: it cannot be made or read.
        """
        if not request.rest:
            raise UsageError("masks:// needs a folder, as masks://out")
        self.uri = request.uri
        self._folder = Path(request.rest)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            foreign = next((path for path in self._folder.iterdir() if _is_foreign(path)), None)
        except OSError as error:
            raise SinkError(f"{self._folder} cannot be made or read ({error.strerror})") from error
        if foreign is not None:
            raise UsageError(
                f"{self._folder} holds {foreign.name}, which is no mask that edgeseg stream wrote; "
                "give a new folder for the masks"
            )

    def write(self, prediction: Prediction) -> None:
        """Write one mask, whole or not at all."""
        frame = prediction.frame
        stem = Path(frame.name).stem or f"{frame.index:06d}"
        try:
            atomic_write_bytes(self._folder / f"{stem}.png", _marked_png(prediction.labels))
        except OSError as error:
            raise SinkError(f"{self._folder} cannot be written ({error})") from error

    def close(self) -> None:
        """Do nothing; every mask is on disk already."""


def _marked_png(labels: np.ndarray) -> bytes:
    import cv2

    data = cv2.imencode(".png", labels)[1].tobytes()
    return data[:PNG_HEAD_BYTES] + MARK + data[PNG_HEAD_BYTES:]


def _is_foreign(path: Path) -> bool:
    if not is_image_name(path):
        return False
    with path.open("rb") as stream:
        return stream.read(PNG_HEAD_BYTES + len(MARK))[PNG_HEAD_BYTES:] != MARK
