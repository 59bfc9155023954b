"""A camera through GStreamer's own Python bindings, which have limits for every wait.

OpenCV before 4.9, as in JetPack 5 and 6, opens and reads a GStreamer pipeline without any limit: a
server that is away held `VideoCapture` for ever (seen with OpenCV 4.6 and GStreamer 1.22).
"""

from __future__ import annotations

import contextlib
import ctypes
import time
from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from edgeseg.core.packages import is_installed
from edgeseg.errors import BackendUnavailable, SourceError, UsageError
from edgeseg.runtime.sources.device import Device, Picture

POLL_NS = 50_000_000
# rtspsrc's own tcp-timeout; another one is the user's.
RTSP_DEFAULT_US = 20_000_000
# A pipeline that runs tells size and rate with its first picture, which a camera soon has.
CAPS_S = 1.0
# Channels, and what makes RGB of them.
FORMATS = {
    "RGB": (3, None),
    "BGR": (3, cv2.COLOR_BGR2RGB),
    "RGBx": (4, cv2.COLOR_RGBA2RGB),
    "RGBA": (4, cv2.COLOR_RGBA2RGB),
    "BGRx": (4, cv2.COLOR_BGRA2RGB),
    "BGRA": (4, cv2.COLOR_BGRA2RGB),
}


def has_bindings() -> bool:
    """Return whether GStreamer can be used from this Python."""
    if not is_installed("gi"):
        return False
    try:
        load_gstreamer()
    except BackendUnavailable:
        return False
    return True


class GstDevice(Device):
    """One running pipeline that ends in an appsink.

    The appsink keeps the newest picture alone, whatever the pipeline says of it, and asks for RGB
    in one of FORMATS. A picture is stamped when it is taken; its own time is the buffer's.

    Args:
        pipeline: as gst-launch-1.0 takes it, with `appsink` at its end.
        open_s: longest opening.
        read_s: longest wait for a picture.
        name: for messages, without credentials.
        clock: nanoseconds that only go forward.

    Raises:
        BackendUnavailable: the bindings, or an element that the pipeline names, are not installed.
        UsageError: it is no pipeline, or has no appsink.
        SourceError: it does not run in time.
    """

    def __init__(
        self,
        pipeline: str,
        *,
        open_s: float,
        read_s: float,
        name: str,
        clock: Callable[[], int],
    ) -> None:
        gst = self._gst = load_gstreamer()
        self._name = name
        self._read_s = read_s
        self._clock = clock
        self._gave = False
        try:
            self._pipeline = gst.parse_launch(pipeline)
        except Exception as error:
            # GLib.Error, whose class comes with the bindings.
            text = str(getattr(error, "message", error))
            if "no element" in text:
                raise BackendUnavailable(f"{name}: {text}; install its plugin") from None
            raise UsageError(f"{name}: {text}; try it with gst-launch-1.0") from None
        for element in _elements(self._pipeline, "rtspsrc"):
            # A server that sends nonsense holds the end of the pipeline for so long: 20 s.
            if element.get_property("tcp-timeout") == RTSP_DEFAULT_US:
                element.set_property("tcp-timeout", int(read_s * 1e6))
        sinks = list(_elements(self._pipeline, "appsink"))
        if not sinks:
            raise UsageError(f"{name}: the pipeline must end in appsink")
        self._sink = sinks[0]
        for key, value in (("max-buffers", 1), ("drop", True), ("sync", False)):
            self._sink.set_property(key, value)
        if self._sink.get_property("caps") is None:
            formats = ",".join(FORMATS)
            self._sink.set_property(
                "caps", gst.Caps.from_string(f"video/x-raw,format=(string){{{formats}}}")
            )
        try:
            self._start(open_s)
        except BaseException:
            self.close()
            raise

    def grab(self) -> Picture | None:
        """Wait for the next picture; None when the first one is not there yet."""
        end = time.monotonic() + self._read_s
        while (sample := self._sink.emit("try-pull-sample", POLL_NS)) is None:
            self._raise_error()
            if self._sink.get_property("eos"):
                raise SourceError(f"{self._name} ended the stream")
            if time.monotonic() > end:
                if not self._gave:
                    return None
                raise SourceError(f"{self._name} gave no frame for {self._read_s:g} s")
        arrived_ns = self._clock()
        self._gave = True
        buffer = sample.get_buffer()
        rgb = self._rgb(buffer, sample.get_caps().get_structure(0))
        timed = buffer.pts != self._gst.CLOCK_TIME_NONE
        return Picture(
            rgb, arrived_ns, self._clock() - arrived_ns, int(buffer.pts) if timed else None
        )

    def close(self) -> None:
        """Stop the pipeline."""
        self._pipeline.set_state(self._gst.State.NULL)

    def _start(self, open_s: float) -> None:
        gst, end = self._gst, time.monotonic() + open_s
        self._pipeline.set_state(gst.State.PLAYING)
        running = (gst.StateChangeReturn.SUCCESS, gst.StateChangeReturn.NO_PREROLL)
        while self._pipeline.get_state(POLL_NS)[0] not in running:
            self._raise_error()
            if time.monotonic() > end:
                raise SourceError(
                    f"{self._name} does not answer within {open_s:g} s; check the address, the "
                    "cable and that no other program uses it"
                )
        pad, soon = self._sink.get_static_pad("sink"), time.monotonic() + min(CAPS_S, open_s)
        while (caps := pad.get_current_caps()) is None and time.monotonic() < soon:
            self._raise_error()
            time.sleep(POLL_NS / 1e9)
        if caps is not None:
            known, top, bottom = caps.get_structure(0).get_fraction("framerate")
            self.fps = top / bottom if known and top > 0 and bottom > 0 else None

    def _raise_error(self) -> None:
        message = self._pipeline.get_bus().pop_filtered(self._gst.MessageType.ERROR)
        if message is not None:
            error, _ = message.parse_error()
            raise SourceError(f"{self._name}: {error.message}")

    def _rgb(self, buffer: Any, shape: Any) -> UInt8[np.ndarray, "h w 3"]:
        width, height = shape.get_value("width"), shape.get_value("height")
        form = shape.get_value("format")
        if form not in FORMATS:
            raise SourceError(
                f"{self._name} gives {form}; put videoconvert ! video/x-raw,format=BGR before "
                "appsink"
            )
        channels, code = FORMATS[form]
        found, mapped = buffer.map(self._gst.MapFlags.READ)
        if not found:
            raise SourceError(f"{self._name}: a picture cannot be read")
        try:
            data = np.frombuffer(mapped.data, np.uint8)
            # Rows are padded to four bytes.
            rows = data[: data.size // height * height].reshape(height, -1)
            packed = rows[:, : width * channels].reshape(height, width, channels)
            return packed.copy() if code is None else cv2.cvtColor(packed, code)
        finally:
            buffer.unmap(mapped)


def load_gstreamer() -> Any:
    """Import and start GStreamer; its module `Gst`.

    Raises:
        BackendUnavailable: PyGObject or GStreamer's description is not there.
    """
    # GStreamer brings libunwind, whose _Unwind_Resume would be found before libgcc's: a C++
    # exception in a library loaded later (an engine's, matplotlib's) then ends the process.
    with contextlib.suppress(OSError):
        ctypes.CDLL("libgcc_s.so.1", mode=ctypes.RTLD_GLOBAL)
    try:
        import gi

        gi.require_version("Gst", "1.0")
        from gi.repository import Gst
    except (ImportError, ValueError) as error:
        raise BackendUnavailable(
            f"GStreamer cannot be used from Python ({error}); apt-get install python3-gi "
            "gir1.2-gstreamer-1.0, in a venv with --system-site-packages"
        ) from error
    Gst.init(None)
    return Gst


def _elements(pipeline: Any, kind: str) -> Iterator[Any]:
    """Yield the elements of one kind; a pipeline may be a single element, which has none."""
    for element in getattr(pipeline, "children", ()):
        factory = element.get_factory()
        if factory is not None and factory.get_name() == kind:
            yield element
