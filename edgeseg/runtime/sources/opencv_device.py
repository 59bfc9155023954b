"""A camera through OpenCV: V4L2, GStreamer where OpenCV was built with it, and RTSP over FFmpeg."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import cv2

from edgeseg.errors import SourceError
from edgeseg.runtime.sources.device import Device, Picture


class OpenCvDevice(Device):
    """One cv2.VideoCapture.

    Opening and reading have time limits inside OpenCV where its back-end has them. A picture is
    stamped when it is grabbed, before it is decoded.

    Args:
        target: device, URL or pipeline.
        api: a cv2.CAP_* back-end.
        properties: cv2.CAP_PROP_* to set once it is open.
        open_s: longest opening.
        read_s: longest read.
        name: for messages, without credentials.
        clock: nanoseconds that only go forward.
        fault: makes the error of a camera that did not open, from the seconds that it took.
        timed: whether rate and times of the pictures mean anything.

    Raises:
        SourceError: it does not open in time.
    """

    def __init__(
        self,
        target: str,
        api: int,
        properties: Mapping[int, float],
        *,
        open_s: float,
        read_s: float,
        name: str,
        clock: Callable[[], int],
        fault: Callable[[float], SourceError] | None = None,
        timed: bool = True,
    ) -> None:
        begin = time.monotonic()
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(open_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(read_s * 1000),
        ]
        # V4L2 knows no limits here; OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT sets its own.
        self._capture = cv2.VideoCapture(target, api, [] if api == cv2.CAP_V4L2 else limits)
        if api == cv2.CAP_GSTREAMER and not self._capture.isOpened():
            # OpenCV before 4.9, as in JetPack 5 and 6, refuses limits it does not know.
            self._capture = cv2.VideoCapture(target, api)
        if not self._capture.isOpened():
            self._capture.release()
            took_s = time.monotonic() - begin
            if fault is not None:
                raise fault(took_s)
            raise SourceError(
                f"{name} gave no picture within {took_s:.1f} s; check the device, the cable and "
                "that no other program uses it"
            )
        for key, value in properties.items():
            self._capture.set(key, value)
        self._name = name
        self._clock = clock
        self._media_ms = 0.0
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        # A stream of unknown rate is reported as a clock of 90 kHz.
        self.fps = rate if timed and 0 < rate < 1000 else None
        self._timed = timed

    def grab(self) -> Picture | None:
        """Wait for the next picture."""
        if not self._capture.grab():
            raise SourceError(f"{self._name} stopped giving frames")
        arrived_ns = self._clock()
        found, bgr = self._capture.retrieve()
        if not found or bgr is None:
            return None
        media_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)
        moves, self._media_ms = media_ms > 0 and media_ms != self._media_ms, media_ms
        return Picture(
            cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB),
            arrived_ns,
            self._clock() - arrived_ns,
            round(media_ms * 1e6) if moves and self._timed else None,
        )

    def close(self) -> None:
        """Close the capture."""
        self._capture.release()
