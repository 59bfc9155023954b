"""Opens a source by URI; SOURCES is the only list of what can be opened."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from edgeseg.core.registry import Registry
from edgeseg.core.spec import ModelSpec
from edgeseg.core.text.redact import public_uri, redact, remember
from edgeseg.errors import EdgesegError, UsageError
from edgeseg.runtime.sources.base import Source, SourceRequest
from edgeseg.runtime.sources.replay import PacedSource, RepeatedSource
from edgeseg.runtime.sources.turned import TurnedSource, split_turn
from edgeseg.runtime.sources.uri import split_query, split_scheme

# scheme: "module:Class". A plain path is "folder" or "video" (uri.py).
SOURCES = Registry(
    "source",
    "sources",
    {
        "synthetic": "edgeseg.runtime.sources.drive:DriveSource",
        "folder": "edgeseg.runtime.sources.folder:FolderSource",
        "video": "edgeseg.runtime.sources.video:VideoSource",
        "v4l2": "edgeseg.runtime.sources.camera:CameraSource",
        "csi": "edgeseg.runtime.sources.camera:CameraSource",
        "gst": "edgeseg.runtime.sources.camera:StreamSource",
        "rtsp": "edgeseg.runtime.sources.camera:StreamSource",
        "rtsps": "edgeseg.runtime.sources.camera:StreamSource",
        "http": "edgeseg.runtime.sources.camera:StreamSource",
        "https": "edgeseg.runtime.sources.camera:StreamSource",
    },
)


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
            a glob or one image, a video file, `0` or `/dev/video0` or `v4l2:///dev/video0`,
            `csi://0`, `gst://PIPELINE`, `rtsp://…`, `http://…` (MJPEG, snapshots, HLS), or the
            scheme of an installed package's source. `?flip=h|v&rotate=90|180|270` turns any.
        spec: the model the frames are for: size of synthetic frames, classes of the masks.
        labels: folder with a mask per image, matched by file name.
        pace_fps: replay a file source as a live camera of this rate.
        repeat: begin a file source again whenever it ends; a camera does not end.
        clock: nanoseconds that only go forward.

    Raises:
        UsageError: unknown scheme or option, or an option the source cannot have.
        SourceError: it cannot be opened.
    """
    # From here on no message, whoever words it, has a secret of this address in it.
    remember(uri)
    try:
        return _opened(uri, spec, labels, pace_fps, repeat, clock)
    except EdgesegError as error:
        shown = redact(str(error))
        if shown == str(error):
            raise
        raise type(error)(shown) from None


def _opened(
    uri: str,
    spec: ModelSpec,
    labels: Path | None,
    pace_fps: float | None,
    repeat: bool,
    clock: Callable[[], int],
) -> Source:
    plain, turn = split_turn(uri)
    source = _untouched(plain, spec, labels, pace_fps, repeat, clock)
    return TurnedSource(source, turn) if turn else source


def _untouched(
    uri: str,
    spec: ModelSpec,
    labels: Path | None,
    pace_fps: float | None,
    repeat: bool,
    clock: Callable[[], int],
) -> Source:
    scheme, rest, query = parse(uri)
    kind: type[Source] = SOURCES.load(scheme)
    if labels is not None and not kind.takes_labels:
        raise UsageError(
            f"labels for {public_uri(uri)}: only an image folder takes a folder of masks; "
            "synthetic:// brings its own"
        )
    if pace_fps is not None and not 0 < pace_fps < math.inf:
        raise UsageError(f"pace is {pace_fps}, expected frames per second above 0")
    request = SourceRequest(uri, scheme, rest, query, spec, labels, clock=clock)
    # Every source's class takes the request and nothing else; the base class does not.
    make: Callable[[SourceRequest], Source] = kind
    source = RepeatedSource(lambda: make(request)) if repeat and kind.ends else make(request)
    if pace_fps is None and kind.fps_is_pace:
        pace_fps = source.fps
    if pace_fps is None:
        return source
    if source.live:
        source.close()
        raise UsageError(f"{source.uri} is live already; pace only a file, folder or synthetic://")
    return PacedSource(source, pace_fps, clock)


def parse(uri: str) -> tuple[str, str, Mapping[str, str]]:
    """Return scheme, rest and query of a URI or path.

    Raises:
        UsageError: unknown scheme.
    """
    uri, _ = split_turn(uri)
    scheme, rest = split_scheme(uri)
    kind: type[Source] = SOURCES.load(scheme)
    # The name of a file may have a question mark in it.
    if (rest == uri and scheme != "v4l2") or not kind.splits_query:
        return scheme, rest, {}
    return scheme, *split_query(rest)


def source_path(uri: str) -> Path | None:
    """Return the file, folder or glob that a source reads, None for one that reads none.

    Raises:
        UsageError: unknown scheme.
    """
    scheme, rest, _ = parse(uri)
    kind: type[Source] = SOURCES.load(scheme)
    return Path(rest) if kind.reads_path else None
