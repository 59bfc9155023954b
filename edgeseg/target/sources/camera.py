"""Cameras through OpenCV: V4L2, RTSP, and GStreamer pipelines where OpenCV was built with it."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import cv2

from edgeseg.errors import BackendUnavailable, SourceError
from edgeseg.target.handoff import Ending, Outcome
from edgeseg.target.source import Frame, SourceRequest, public_uri
from edgeseg.target.sources.live import LiveSource

CSI = (
    "nvarguscamerasrc sensor-id={sensor} ! video/x-raw(memory:NVMM) ! "
    "nvvidconv ! video/x-raw,width={width},height={height},format=BGRx ! "
    "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
)


class CameraSource(LiveSource):
    """A camera's newest frame.

    Opening and reading have time limits inside OpenCV where its back-end has them, so that a
    frozen camera is noticed. A frame is stamped when it arrives, before it is decoded.
    """

    def __init__(self, request: SourceRequest) -> None:
        """Open the camera.

        Raises:
            BackendUnavailable: OpenCV lacks GStreamer, or the machine the device.
            SourceError: the camera does not answer.
        """
        super().__init__(public_uri(request.uri))
        self._clock = request.clock
        self._index = 0
        target, api = _target(request)
        limits = [
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC,
            int(request.open_timeout_s * 1000),
            cv2.CAP_PROP_READ_TIMEOUT_MSEC,
            int(request.read_timeout_s * 1000),
        ]
        parameters = limits if api == cv2.CAP_FFMPEG else []
        self._capture = cv2.VideoCapture(target, api, parameters)
        if not self._capture.isOpened():
            self._capture.release()
            raise SourceError(
                f"{self.uri} does not answer within {request.open_timeout_s:g} s; check the "
                "address, the cable and that no other program uses it"
            )
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps = rate if rate > 0 else None

    def fetch(self, stop: threading.Event) -> Frame | Ending:
        """Wait for the next frame of the camera."""
        if not self._capture.grab():
            raise SourceError(f"{self.uri} stopped giving frames after {self._index}")
        arrived_ns = self._clock()
        found, bgr = self._capture.retrieve()
        if not found:
            return Outcome.TIMEOUT
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        frame = Frame(rgb, self._index, arrived_ns, self._clock() - arrived_ns)
        self._index += 1
        return frame

    def release(self) -> None:
        """Close the camera."""
        self._capture.release()


def has_gstreamer() -> bool:
    """Return whether this OpenCV was built with GStreamer; pip's wheels are not."""
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def _target(request: SourceRequest) -> tuple[str, int]:
    if request.scheme in ("rtsp", "rtsps"):
        return request.uri, cv2.CAP_FFMPEG
    if request.scheme == "v4l2":
        request.options(())
        device = request.rest if request.rest.startswith("/") else f"/dev/video{request.rest}"
        if not Path(device).exists():
            raise BackendUnavailable(
                f"{device} does not exist on this machine; plug the camera in or give another "
                "v4l2:///dev/videoN"
            )
        return device, cv2.CAP_V4L2
    if not has_gstreamer():
        raise BackendUnavailable(
            f"{request.scheme}:// needs an OpenCV built with GStreamer, OpenCV {cv2.__version__} "
            "here is not; on a Jetson use JetPack's own (venv --system-site-packages, no pip "
            "opencv)"
        )
    if request.scheme == "csi":
        request.options(())
        if not re.fullmatch(r"\d+", request.rest):
            raise SourceError(f"{request.uri}: give the sensor's number, as csi://0")
        height, width = request.spec.size_hw
        return CSI.format(sensor=request.rest, width=width, height=height), cv2.CAP_GSTREAMER
    return request.rest, cv2.CAP_GSTREAMER
