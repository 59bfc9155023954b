"""Cameras by URI: which library opens them, and what is refused with its cure."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from pathlib import Path

import cv2

from edgeseg.core.packages import is_installed
from edgeseg.core.text.redact import encode_credentials, public_uri
from edgeseg.errors import BackendUnavailable, UsageError
from edgeseg.runtime.sources.base import SourceRequest
from edgeseg.runtime.sources.device import Device, LiveLimits
from edgeseg.runtime.sources.network.reach import network_error
from edgeseg.runtime.sources.reconnect import ReconnectingSource

CSI = (
    "nvarguscamerasrc sensor-id={sensor} ! "
    "video/x-raw(memory:NVMM),width={width},height={height},framerate={fps}/1 ! "
    "nvvidconv flip-method={flip} ! video/x-raw,format=BGRx ! "
    "videoconvert ! video/x-raw,format=BGR ! appsink drop=true max-buffers=1 sync=false"
)
# A mode that IMX219 and IMX477, the sensors of the developer kits' cameras, both have.
CSI_SIZE_HW = (1080, 1920)
CSI_FPS = 30.0
FLIPS = 8


class CameraSource(ReconnectingSource):
    """A camera's newest frame: V4L2, CSI, a GStreamer pipeline, RTSP or HTTP.

    RTSP and HTTP go through PyAV when it is installed, otherwise through OpenCV's own FFmpeg; a
    pipeline through GStreamer's bindings, otherwise through an OpenCV that was built with it. An
    HTTP address of one picture is asked for again and again.
    """

    def __init__(self, request: SourceRequest) -> None:
        """Open the camera.

        Raises:
            BackendUnavailable: there is no GStreamer, or the machine lacks the device.
            SourceError: the camera does not answer.
            UsageError: the URI is malformed, or asks V4L2 for a CSI sensor.
        """
        limits = LiveLimits(open_s=request.open_timeout_s, read_s=request.read_timeout_s)
        super().__init__(
            public_uri(request.uri), _connector(request, limits.read_s), limits, request.clock
        )


class StreamSource(CameraSource):
    """A camera whose whole URI belongs to a server or is a pipeline: RTSP, HTTP, GStreamer."""

    splits_query = False


def has_gstreamer() -> bool:
    """Return whether this OpenCV was built with GStreamer; pip's wheels are not."""
    return re.search(r"GStreamer:\s+YES", cv2.getBuildInformation()) is not None


def csi_pipeline(request: SourceRequest) -> str:
    """Return the pipeline of `csi://N?size=HxW&fps=&flip=` for JetPack's Argus camera stack.

    Raises:
        UsageError: no sensor number, or an option is unknown or malformed.
    """
    request.options(("size", "fps", "flip"))
    if not re.fullmatch(r"\d+", request.rest):
        raise UsageError(f"{request.uri}: give the sensor's number, as csi://0")
    height, width = request.size_hw() or CSI_SIZE_HW
    flip = int(request.number("flip", 0.0))
    if not 0 <= flip < FLIPS:
        raise UsageError(f"{request.uri}: flip is {flip}, nvvidconv knows 0 to {FLIPS - 1}")
    fps = round(request.number("fps", CSI_FPS))
    return CSI.format(sensor=request.rest, width=width, height=height, fps=fps, flip=flip)


def _connector(request: SourceRequest, read_s: float) -> Callable[[float], Device]:
    """Return what opens the device within so many seconds."""
    # Imported here: the module asks for cv2, or av, only when its kind of camera is opened.
    if request.scheme in ("http", "https"):
        return functools.partial(_open_web, request, read_s)
    if request.scheme in ("rtsp", "rtsps"):
        return functools.partial(_open_stream, request, read_s)
    if request.scheme in ("csi", "gst"):
        from edgeseg.runtime.sources.gst_device import GstDevice, has_bindings

        pipeline = csi_pipeline(request) if request.scheme == "csi" else request.rest
        if has_bindings():
            return lambda open_s: GstDevice(
                pipeline,
                open_s=open_s,
                read_s=read_s,
                name=public_uri(request.uri),
                clock=request.clock,
            )
    from edgeseg.runtime.sources.opencv_device import OpenCvDevice

    properties: dict[int, float] = {}
    if request.scheme == "v4l2":
        target, api, properties = _v4l2_device(request), cv2.CAP_V4L2, _v4l2_properties(request)
    else:
        if not has_gstreamer():
            raise BackendUnavailable(
                f"{request.scheme}:// needs GStreamer: apt-get install python3-gi "
                "gir1.2-gstreamer-1.0 and make the venv with --system-site-packages. Or an OpenCV "
                f"built with it, which OpenCV {cv2.__version__} here is not; on a Jetson "
                "JetPack's own (no pip opencv), on Debian python3-opencv"
            )
        target, api = pipeline, cv2.CAP_GSTREAMER
    make = functools.partial(
        OpenCvDevice,
        target,
        api,
        properties,
        read_s=read_s,
        name=public_uri(request.uri),
        clock=request.clock,
    )
    return lambda open_s: make(open_s=open_s)


def _open_web(request: SourceRequest, read_s: float, open_s: float) -> Device:
    """Open what an HTTP address gives: snapshots, a multipart stream, or what FFmpeg knows."""
    from edgeseg.runtime.sources.network.web import SnapshotDevice, kind_at

    kind = kind_at(request.uri, open_s)
    if kind == "snapshot":
        # A slow camera takes its time for a picture.
        return SnapshotDevice(request.uri, read_s=max(read_s, open_s), clock=request.clock)
    return _open_stream(request, read_s, open_s, kind)


def _open_stream(
    request: SourceRequest, read_s: float, open_s: float, kind: str = "rtsp"
) -> Device:
    if is_installed("av"):
        from edgeseg.runtime.sources.av_device import AvDevice

        return AvDevice(request.uri, open_s=open_s, read_s=read_s, clock=request.clock, kind=kind)
    if kind == "other":
        raise BackendUnavailable(
            f"{public_uri(request.uri)} is neither JPEGs nor RTSP; HLS and video over HTTP need "
            "PyAV: pip install 'edgeseg[rtsp]'"
        )
    from edgeseg.runtime.sources.opencv_device import OpenCvDevice

    return OpenCvDevice(
        encode_credentials(request.uri),
        cv2.CAP_FFMPEG,
        {},
        open_s=open_s,
        read_s=read_s,
        name=public_uri(request.uri),
        clock=request.clock,
        fault=functools.partial(network_error, request.uri, None),
        timed=kind != "multipart",
    )


def _v4l2_device(request: SourceRequest) -> str:
    device = request.rest if request.rest.startswith("/") else f"/dev/video{request.rest}"
    name = Path(device).name
    facts = request.root / "sys/class/video4linux" / name / "name"
    # "vi-output, imx219 9-0010": a sensor behind the Tegra's video input gives raw Bayer.
    if facts.is_file() and "vi-output" in facts.read_text(errors="replace"):
        raise UsageError(
            f"{device} is a CSI sensor ({facts.read_text(errors='replace').strip()}); through V4L2 "
            "its pictures are raw Bayer. Give csi://0 (the sensor's number) instead"
        )
    if not (request.root / device.lstrip("/")).exists():
        raise BackendUnavailable(
            f"{device} does not exist on this machine; plug the camera in or give another "
            "v4l2:///dev/videoN"
        )
    return device


def _v4l2_properties(request: SourceRequest) -> dict[int, float]:
    query = request.options(("size", "fps", "fourcc"))
    # Order matters: a driver offers sizes and rates per format.
    properties: dict[int, float] = {cv2.CAP_PROP_BUFFERSIZE: 1}
    if "fourcc" in query:
        if len(query["fourcc"]) != 4:
            raise UsageError(f"{request.uri}: fourcc is four letters, as MJPG or YUYV")
        properties[cv2.CAP_PROP_FOURCC] = cv2.VideoWriter.fourcc(*query["fourcc"])
    size_hw = request.size_hw()
    if size_hw is not None:
        properties[cv2.CAP_PROP_FRAME_HEIGHT], properties[cv2.CAP_PROP_FRAME_WIDTH] = size_hw
    fps = request.number("fps", 0.0)
    if fps > 0:
        properties[cv2.CAP_PROP_FPS] = fps
    return properties
