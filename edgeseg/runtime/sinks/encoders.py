"""Encodes pictures into a video file: H.264 through PyAV, else what OpenCV's FFmpeg can."""

from __future__ import annotations

import abc
import contextlib
import errno
import fractions
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.packages import is_installed
from edgeseg.errors import SinkError

# Browsers, phones and chats play H.264 with 4:2:0 colours.
H264 = ("libx264", "libopenh264")
CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi"}
# Fragments while it is written, so that a kill leaves what there is; an ordinary file at the end,
# which older players want. FFmpeg before 7.1 knows fragments alone.
HYBRID = "hybrid_fragmented+frag_keyframe+empty_moov+default_base_moof"
FRAGMENTS = "frag_keyframe+empty_moov+default_base_moof"
# A kill loses what came since the last key frame.
KEY_FRAMES_S = 1.0
# The network wants the cores.
THREADS = 2
CAUSES = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file reached the largest size that is allowed here (ulimit -f)",
}


class Encoder(abc.ABC):
    """Writes one video file of one size and rate.

    Attributes:
        note: what a user should know of the file, empty where it is H.264.
    """

    note: str = ""

    @abc.abstractmethod
    def write(self, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Append a picture.

        Raises:
            SinkError: it cannot be written.
        """

    @abc.abstractmethod
    def finish(self) -> None:
        """Write the end of the file; called once, also after a failed write.

        Raises:
            SinkError: the end cannot be written.
        """


def open_encoder(handle: int, path: Path, size_hw: tuple[int, int], fps: float) -> Encoder:
    """Begin a video.

    Args:
        handle: descriptor of the empty file; it stays open.
        path: where that file is; the ending says which kind it becomes.
        size_hw: of every picture.
        fps: pictures per second.

    Raises:
        SinkError: no encoder takes that.
    """
    if is_installed("av"):
        return AvEncoder(handle, path, size_hw, fps)
    return CvEncoder(path, size_hw, fps)


def cause(error: BaseException) -> str:
    """Return why a file could not be written, in a user's words."""
    if isinstance(error, OSError) and error.errno in CAUSES:
        return CAUSES[error.errno]
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


class _File:
    """What PyAV writes into: a descriptor, each write whole or an error that is kept."""

    def __init__(self, handle: int, name: str) -> None:
        self._handle = handle
        self.name = name
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._handle, left) :]
        except OSError as error:
            self.error = error
            raise
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._handle, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._handle, 0, os.SEEK_CUR)


class AvEncoder(Encoder):
    """H.264 in MP4, MOV and Matroska, Motion JPEG in AVI.

    H.264 with 4:2:0 colours has an even size: the last row or column of an odd one is repeated.
    """

    def __init__(self, handle: int, path: Path, size_hw: tuple[int, int], fps: float) -> None:
        import av
        from av.error import FFmpegError

        self._av = av
        self._failed: tuple[type[Exception], ...] = (FFmpegError, OSError, ValueError)
        self._path = path
        self._odd = (size_hw[0] % 2, size_hw[1] % 2)
        self._file = _File(handle, str(path))
        self._next = 0
        suffix = path.suffix.lower()
        even = size_hw[0] + self._odd[0], size_hw[1] + self._odd[1]
        rate = fractions.Fraction(fps).limit_denominator(1001)
        problem = ""
        flags = (HYBRID, FRAGMENTS) if suffix in (".mp4", ".mov") else ("",)
        codecs = ("mjpeg",) if suffix == ".avi" else (*H264, "mpeg4")
        for codec, movflags in ((c, f) for c in codecs for f in flags):
            os.ftruncate(handle, 0)
            os.lseek(handle, 0, os.SEEK_SET)
            try:
                self._begin(codec, movflags, CONTAINERS[suffix], even, rate)
            except self._failed as error:
                if self._file.error is not None:
                    raise SinkError(f"{path} cannot be written: {cause(error)}") from error
                problem = str(error)
                continue
            if codec == "mpeg4":
                self.note = (
                    f"{path} is MPEG-4 Part 2, which browsers do not play: this PyAV has no H.264 "
                    "encoder"
                )
            return
        raise SinkError(f"{path}: no encoder takes {even[1]}x{even[0]} at {fps:g} FPS ({problem})")

    def _begin(
        self,
        codec: str,
        movflags: str,
        container: str,
        size_hw: tuple[int, int],
        rate: fractions.Fraction,
    ) -> None:
        options = {"flush_packets": "1", **({"movflags": movflags} if movflags else {})}
        if container == "matroska":
            options["cluster_time_limit"] = str(round(KEY_FRAMES_S * 1000))
        self._container: Any = self._av.open(self._file, "w", format=container, options=options)
        stream: Any = self._container.add_stream(codec, rate=rate)
        stream.height, stream.width = size_hw
        context = stream.codec_context
        context.time_base = 1 / rate
        context.gop_size = max(1, round(KEY_FRAMES_S * rate))
        if codec == "mjpeg":
            stream.pix_fmt = "yuvj420p"
            context.options = {"qmin": "2", "qmax": "5"}
        else:
            stream.pix_fmt = "yuv420p"
            context.max_b_frames = 0
            context.thread_count = THREADS
        if codec == "libx264":
            # The labels' edges stay sharp at this quality, and no frame is held back.
            context.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "20"}
        self._stream = stream
        self._container.start_encoding()

    def write(self, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Append a picture."""
        if any(self._odd):
            bottom, right = self._odd
            rgb = cv2.copyMakeBorder(rgb, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
        frame.pts, self._next = self._next, self._next + 1
        frame.time_base = self._stream.codec_context.time_base
        try:
            for packet in self._stream.encode(frame):
                self._container.mux(packet)
        except self._failed as error:
            self._raise(error)

    def finish(self) -> None:
        """Write what the encoder holds back and the end of the file."""
        try:
            for packet in self._stream.encode(None):
                self._container.mux(packet)
        except self._failed as error:
            with contextlib.suppress(*self._failed):
                self._container.close()
            self._raise(error)
        try:
            self._container.close()
        except self._failed as error:
            self._raise(error)

    def _raise(self, error: Exception) -> None:
        # FFmpeg says only that its callback failed.
        found = self._file.error or error
        raise SinkError(f"{self._path} ends here: {cause(found)}") from error


class CvEncoder(Encoder):
    """MPEG-4 Part 2 or, in AVI, Motion JPEG, by OpenCV; it does not tell when a write fails."""

    def __init__(self, path: Path, size_hw: tuple[int, int], fps: float) -> None:
        suffix = path.suffix.lower()
        code = "MJPG" if suffix == ".avi" else "mp4v"
        # Absolute: FFmpeg takes what stands before a colon for a protocol.
        self._writer = cv2.VideoWriter(
            str(path.absolute()), cv2.VideoWriter.fourcc(*code), fps, size_hw[::-1]
        )
        if not self._writer.isOpened():
            raise SinkError(f"{path} cannot be written; check the folder and the ending")
        if suffix != ".avi":
            killed = "" if suffix == ".mkv" else ", and nothing of it is left if the run is killed"
            self.note = (
                f"{path} is MPEG-4 Part 2, which browsers do not play{killed}: for H.264 "
                "pip install 'edgeseg[rtsp]' (PyAV)"
            )

    def write(self, rgb: UInt8[np.ndarray, "h w 3"]) -> None:
        """Append a picture."""
        self._writer.write(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))

    def finish(self) -> None:
        """Write the end of the file."""
        self._writer.release()
