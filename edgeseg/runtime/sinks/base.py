"""Sink: where pictures and labels go."""

from __future__ import annotations

import abc
import dataclasses
import importlib
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.spec import ModelSpec
from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError
from edgeseg.runtime.closeable import Resource
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.sources.uri import source_path

__all__ = ["SINKS", "Prediction", "Sink", "SinkRequest", "check_sinks", "open_sink"]

# scheme: "module:Class". A plain path becomes "video", "jsonl" or "masks" by its ending.
SINKS = {
    "null": "edgeseg.runtime.sinks.files:NullSink",
    "video": "edgeseg.runtime.sinks.files:VideoSink",
    "masks": "edgeseg.runtime.sinks.files:MaskSink",
    "jsonl": "edgeseg.runtime.sinks.lines:LinesSink",
    "window": "edgeseg.runtime.sinks.window:WindowSink",
    "mjpeg": "edgeseg.runtime.sinks.mjpeg:MjpegSink",
}
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov")
LINES_SUFFIX = ".jsonl"
# Sinks that leave something at the path after their scheme.
WRITING = ("video", "masks", "jsonl")
DEFAULT_FPS = 15.0


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The labels of one frame and what they took.

    Attributes:
        frame: the frame they belong to.
        labels: one per pixel of the frame, the loop's own copy.
        preprocess_ns: fitting the frame to the network and the labels back to the frame.
        infer_ns: the backend's call.
        ready_ns: when the labels were there.
    """

    frame: Frame
    labels: UInt8[np.ndarray, "h w"]
    preprocess_ns: int
    infer_ns: int
    ready_ns: int

    def took_ns(self) -> dict[str, int]:
        """Return the time of each stage up to the labels, and of the whole way as `ready`."""
        return {
            "capture": self.frame.capture_took_ns,
            "preprocess": self.preprocess_ns,
            "infer": self.infer_ns,
            "ready": self.ready_ns - self.frame.captured_ns,
        }


class Sink(Resource):
    """Takes predictions in order, from one thread.

    Attributes:
        uri: what was opened.
    """

    uri: str

    @abc.abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Take one prediction; its arrays must not be changed.

        Raises:
            SinkError: it cannot take any more.
        """


@dataclasses.dataclass(frozen=True)
class SinkRequest:
    """What a sink class is asked for.

    Attributes:
        uri: as the user gave it.
        rest: what follows `scheme://`; a path for files.
        palette: RGB 0-255 per class.
        class_names: names per class, for legends.
        ignore_index: the label of truth that is not scored.
        fps: rate written into a video file.
        alpha: share of the class colour over the picture, 0-1.
        has_display: whether the session has a screen to open a window on.
        token: what a viewer from another machine must know; empty allows none.
    """

    uri: str
    rest: str
    palette: tuple[tuple[int, int, int], ...]
    class_names: tuple[str, ...]
    ignore_index: int
    fps: float = DEFAULT_FPS
    alpha: float = 0.5
    has_display: bool = True
    token: str = dataclasses.field(default="", repr=False)


def open_sink(
    uri: str,
    spec: ModelSpec,
    *,
    fps: float | None = None,
    alpha: float = 0.5,
    has_display: bool = True,
    token: str = "",
) -> Sink:
    """Open a sink by URI or path.

    Args:
        uri: `null`, `window`, a video file, a folder for masks (ends in `/`, or `masks://DIR`),
            a file of JSON lines (ends in `.jsonl`, or `jsonl://FILE`), or `mjpeg://HOST:PORT`.
        spec: names and colours of the classes.
        fps: rate of a video file, 15 when unknown.
        alpha: share of the class colour over the picture, 0-1.
        has_display: whether a window can be opened at all.
        token: what a viewer of mjpeg:// from another machine must know.

    Raises:
        UsageError: unknown scheme, or a value that cannot work.
        SinkError: it cannot be opened.
    """
    scheme, rest = _parse(uri)
    if scheme not in SINKS:
        raise UsageError(unknown("sink", scheme, SINKS))
    if not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha is {alpha}, expected 0 to 1")
    module_name, class_name = SINKS[scheme].split(":")
    sink_class = getattr(importlib.import_module(module_name), class_name)
    sink: Sink = sink_class(
        SinkRequest(
            uri,
            rest,
            spec.palette,
            spec.class_names,
            spec.ignore_index,
            fps=fps or DEFAULT_FPS,
            alpha=alpha,
            has_display=has_display,
            token=token,
        )
    )
    return sink


def check_sinks(
    uris: Sequence[str],
    sources: Sequence[str],
    labels: Path | None = None,
    reports: Sequence[Path] = (),
) -> None:
    """Refuse sinks and reports that would destroy what is read; opens and writes nothing.

    Args:
        uris: every sink, as open_sink takes them.
        sources: every source, as open_source takes them.
        labels: folder of masks of the source.
        reports: files that will be written beside the sinks.

    Raises:
        UsageError: a sink or report lies where a source, the labels or a report do, or two images
            of a source would get masks of one name, or two sinks have one place.
    """
    read = {labels.resolve(): f"--labels {labels}"} if labels is not None else {}
    for source in sources:
        path = source_path(source)
        if path is not None:
            read[path.resolve()] = f"the source {source}"
    for report in reports:
        if taken := read.get(report.resolve()):
            raise UsageError(
                f"-o {report} would overwrite {taken}; give another file for the report"
            )
        read[report.resolve()] = f"the report -o {report}"
    for uri in uris:
        scheme, rest = _parse(uri)
        if scheme not in WRITING or not rest:
            continue
        taken = read.get(Path(rest).resolve())
        if taken is not None:
            raise UsageError(f"sink {uri} would overwrite {taken}; give another place to write to")
        read[Path(rest).resolve()] = f"the sink {uri}"
        if scheme == "masks":
            for source in sources:
                _check_names(uri, source)


def _check_names(uri: str, source: str) -> None:
    from edgeseg.runtime.sources.folder import list_images

    seen: dict[str, Path] = {}
    for image in list_images(str(source_path(source) or "")):
        other = seen.setdefault(image.stem, image)
        if other != image:
            raise UsageError(
                f"sink {uri} would write {image.stem}.png for {other} and for {image}; stream one "
                "folder after the other, each into a folder of its own"
            )


def _parse(uri: str) -> tuple[str, str]:
    match = re.match(r"([A-Za-z][A-Za-z0-9]*)://(.*)", uri)
    if match is not None:
        return match[1].lower(), match[2]
    if uri in SINKS:
        return uri, ""
    path = Path(uri)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "video", uri
    if path.suffix.lower() == LINES_SUFFIX:
        return "jsonl", uri
    if uri.endswith("/") or path.is_dir():
        return "masks", uri
    raise UsageError(
        f"sink {uri!r}: give null, window, mjpeg://127.0.0.1:8080, a video file "
        f"({', '.join(VIDEO_SUFFIXES)}), a file ending in {LINES_SUFFIX} or a folder ending in /"
    )
