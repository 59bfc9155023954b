"""Source: where frames come from, opened by URI."""

from __future__ import annotations

import abc
import dataclasses
import enum
import importlib
import math
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.spec import ModelSpec
from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError
from edgeseg.runtime.closeable import Resource
from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.uri import parse, public_uri

__all__ = [
    "SCHEMES",
    "Frame",
    "Outcome",
    "Source",
    "SourceEvent",
    "SourceRequest",
    "State",
    "open_source",
]

# scheme: "module:Class". A plain path becomes "folder" or "video" by what lies there.
SCHEMES = {
    "synthetic": "edgeseg.runtime.sources.drive:DriveSource",
    "folder": "edgeseg.runtime.sources.folder:FolderSource",
    "video": "edgeseg.runtime.sources.video:VideoSource",
    "v4l2": "edgeseg.runtime.sources.camera:CameraSource",
    "csi": "edgeseg.runtime.sources.camera:CameraSource",
    "gst": "edgeseg.runtime.sources.camera:CameraSource",
    "rtsp": "edgeseg.runtime.sources.camera:CameraSource",
    "rtsps": "edgeseg.runtime.sources.camera:CameraSource",
}
# Those that come to an end by themselves.
ENDING = ("synthetic", "folder", "video")


class State(enum.Enum):
    """Where a camera's connection stands.

    CONNECTING: being opened. LIVE: frames arrive. STALE: open, but nothing came for a while.
    LOST: broken, or refused to open; the next try comes after a pause.
    """

    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    LOST = "lost"


@dataclasses.dataclass(frozen=True)
class SourceEvent:
    """A change of a camera's state.

    Attributes:
        at_s: seconds since the source was made.
        state: the state it changed to.
        reason: why, without credentials.
    """

    at_s: float
    state: State
    reason: str

    def to_json(self) -> dict[str, float | str]:
        """Return plain JSON values."""
        return {"at_s": round(self.at_s, 3), "state": self.state.value, "reason": self.reason}


@dataclasses.dataclass(frozen=True)
class Frame:
    """One picture and what is known of it.

    Attributes:
        rgb: the picture.
        index: its number in the source, dropped ones counted.
        captured_ns: when it arrived; for files, when reading it began.
        capture_took_ns: time spent to decode or draw it, without waiting for it.
        truth: right labels at the picture's size, None where unknown.
        dropped_before: frames overwritten between the one before and this one.
        name: file name, empty for cameras.
    """

    rgb: UInt8[np.ndarray, "h w 3"]
    index: int
    captured_ns: int
    capture_took_ns: int = 0
    truth: UInt8[np.ndarray, "h w"] | None = None
    dropped_before: int = 0
    name: str = ""


class Source(Resource):
    """A stream of frames.

    Attributes:
        uri: what was opened, without credentials.
        live: frames come at their own pace and the newest wins; otherwise every frame is kept.
        labelled: frames carry truth.
        length: number of frames, None where unknown.
        fps: frames per second of a live source or a video, None where unknown.
        dropped: frames overwritten before anyone read them.
        reconnects: times a lost camera was found again.
        refused: frames of a camera that came too late to be shown.
        state: of a camera's connection, None for files and replays.
        events: the newest changes of state, oldest first.
    """

    uri: str
    live: bool = False
    labelled: bool = False
    length: int | None = None
    fps: float | None = None
    dropped: int = 0
    reconnects: int = 0
    refused: int = 0
    state: State | None = None
    events: Sequence[SourceEvent] = ()

    @abc.abstractmethod
    def read(self, timeout_s: float) -> Frame | Ending:
        """Wait for the next frame.

        Returns:
            The frame; Outcome.TIMEOUT when none came in time, ask again; Outcome.END after the
            last one.

        Raises:
            SourceError: the source failed; it gives no further frame.
        """

    def watch(self, arrived: Callable[[Frame], None]) -> None:
        """Call `arrived` with every frame a live labelled source gets, dropped ones included.

        Must be called before the first read. Other sources ignore it: nothing is dropped there.
        """


@dataclasses.dataclass(frozen=True)
class SourceRequest:
    """What a source class is asked for.

    Attributes:
        uri: as the user gave it.
        scheme: a key of SCHEMES.
        rest: what follows `scheme://`, without the query; a path for files.
        query: `?key=value` pairs.
        spec: the model the frames are for: size of synthetic frames, classes of masks.
        labels: folder of masks for an image folder.
        open_timeout_s: longest wait while opening.
        read_timeout_s: longest wait of one read inside a camera's library.
        clock: nanoseconds that only go forward.
        root: the file system's root, another one in tests.
    """

    uri: str
    scheme: str
    rest: str
    query: Mapping[str, str]
    spec: ModelSpec
    labels: Path | None = None
    open_timeout_s: float = 5.0
    read_timeout_s: float = 1.5
    clock: Callable[[], int] = time.perf_counter_ns
    root: Path = Path("/")

    def options(self, known: tuple[str, ...]) -> Mapping[str, str]:
        """Return the query, or raise UsageError on a key that is not in `known`."""
        for key in self.query:
            if key not in known:
                raise UsageError(unknown(f"option of {self.scheme}://", key, known))
        return self.query

    def number(self, key: str, default: float) -> float:
        """Return a query value as a number, `default` when absent or empty."""
        text = self.query.get(key, "")
        try:
            value = float(text) if text else default
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise UsageError(f"{self.uri}: {key} is {text!r}, expected a number")
        return value

    def size_hw(self) -> tuple[int, int] | None:
        """Return `size=HEIGHTxWIDTH` of the query, None when absent or empty."""
        size = self.query.get("size", "")
        match = re.fullmatch(r"(\d+)x(\d+)", size)
        if size and match is None:
            raise UsageError(f"{self.uri}: size is {size!r}, expected HEIGHTxWIDTH, as 360x480")
        return (int(match[1]), int(match[2])) if match else None


def open_source(
    uri: str,
    spec: ModelSpec,
    *,
    labels: Path | None = None,
    pace_fps: float | None = None,
    repeat: bool = False,
    clock: Callable[[], int] = time.perf_counter_ns,
) -> Source:
    """Open a source by URI or path.

    Args:
        uri: `synthetic://?frames=&seed=&size=HxW&weather=&fps=` (live when it has fps), a folder,
            a glob or one image, a video file, `v4l2:///dev/video0`, `csi://0`, `gst://PIPELINE` or
            `rtsp://…`.
        spec: the model the frames are for: size of synthetic frames, classes of the masks.
        labels: folder with a mask per image, matched by file name.
        pace_fps: replay a file source as a live camera of this rate.
        repeat: begin a file source again whenever it ends; a camera does not end.
        clock: nanoseconds that only go forward.

    Raises:
        UsageError: unknown scheme or option, or an option the source cannot have.
        SourceError: it cannot be opened.
    """
    scheme, rest, query = parse(uri)
    if scheme not in SCHEMES:
        raise UsageError(unknown("source", scheme, SCHEMES))
    if labels is not None and scheme != "folder":
        raise UsageError(
            f"labels for {public_uri(uri)}: only an image folder takes a folder of masks; "
            "synthetic:// brings its own"
        )
    if pace_fps is not None and not 0 < pace_fps < math.inf:
        raise UsageError(f"pace is {pace_fps}, expected frames per second above 0")
    module_name, class_name = SCHEMES[scheme].split(":")
    source_class = getattr(importlib.import_module(module_name), class_name)
    request = SourceRequest(uri, scheme, rest, query, spec, labels, clock=clock)
    source: Source
    if repeat and scheme in ENDING:
        from edgeseg.runtime.sources.repeated import RepeatedSource

        source = RepeatedSource(lambda: source_class(request))
    else:
        source = source_class(request)
    if pace_fps is None and scheme == "synthetic":
        pace_fps = source.fps
    if pace_fps is None:
        return source
    if source.live:
        source.close()
        raise UsageError(f"{source.uri} is live already; pace only a file, folder or synthetic://")
    from edgeseg.runtime.sources.paced import PacedSource

    return PacedSource(source, pace_fps, clock)
