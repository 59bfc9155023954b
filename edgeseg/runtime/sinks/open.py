"""Opens a sink by URI; SINKS is the only list of what can be opened."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeseg.core.registry import Registry
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import UsageError
from edgeseg.runtime.sinks.base import DEFAULT_FPS, Sink, SinkRequest
from edgeseg.runtime.sources.open import source_path

# scheme: "module:Class". A plain path becomes "video", "picture", "jsonl", "masks" or "overlays" by
# its ending and, for a folder, its name.
SINKS = Registry(
    "sink",
    "sinks",
    {
        "null": "edgeseg.runtime.sinks.files:NullSink",
        "video": "edgeseg.runtime.sinks.video:VideoSink",
        "picture": "edgeseg.runtime.sinks.files:PictureSink",
        "masks": "edgeseg.runtime.sinks.files:MaskSink",
        "overlays": "edgeseg.runtime.sinks.files:OverlaySink",
        "jsonl": "edgeseg.runtime.sinks.lines:LinesSink",
        "window": "edgeseg.runtime.sinks.window:WindowSink",
        "mjpeg": "edgeseg.runtime.sinks.mjpeg:MjpegSink",
        "python": "edgeseg.runtime.sinks.function:FunctionSink",
    },
)
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov")
PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
LINES_SUFFIX = ".jsonl"
FUNCTION = "python:"
# A folder of this name gets painted pictures, any other one masks.
OVERLAYS = re.compile(r"overlays?(-\d+)?")


def open_sink(
    uri: str,
    spec: ModelSpec,
    *,
    fps: float | None = None,
    alpha: float = 0.5,
    has_display: bool = True,
    token: str = "",
    legend: bool = False,
    palette: str = "own",
    replace: bool = False,
    tell: Callable[[str], None] = lambda line: None,
) -> Sink:
    """Open a sink by URI or path.

    Args:
        uri: `null`, `window`, a video file, a folder for masks (ends in `/`, or `masks://DIR`),
            `overlays/` or `overlays://DIR`, a picture (`.png`, `.jpg`), a file of JSON lines (ends
            in `.jsonl`, or `jsonl://FILE`), `mjpeg://HOST:PORT`, a function of yours
            (`python:module:name`, `python:FILE.py:name`), or the scheme of an installed package's
            sink.
        spec: names and colours of the classes.
        fps: rate of a video file, 15 when unknown.
        alpha: share of the class colour over the picture, 0-1.
        has_display: whether a window can be opened at all.
        token: what a viewer of mjpeg:// from another machine must know.
        legend: write class names and the rate into pictures.
        palette: one of PALETTES, for pictures; masks keep the network's own.
        replace: write over what an earlier run left, where else a number is added to the name.
        tell: told what a user should know, one line at a time.

    Raises:
        UsageError: unknown scheme, or a value that cannot work.
        SinkError: it cannot be opened.
    """
    # Imported here: it needs OpenCV, listing the sinks does not.
    from edgeseg.core.images.palettes import display_palette

    scheme, rest = _parse(uri)
    sink_class: Callable[[SinkRequest], Sink] = SINKS.load(scheme)
    if not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha is {alpha}, expected 0 to 1")
    return sink_class(
        SinkRequest(
            uri,
            rest,
            spec.palette if scheme == "masks" else display_palette(palette, spec.palette),
            spec.class_names,
            spec.ignore_index,
            fps=fps or DEFAULT_FPS,
            alpha=alpha,
            has_display=has_display,
            token=token,
            legend=legend,
            replace=replace,
            tell=tell,
        )
    )


def written_place(uri: str) -> tuple[str, str] | None:
    """Return the scheme and the path of what a sink leaves, None where it leaves nothing.

    Raises:
        UsageError: `uri` is no sink.
    """
    scheme, rest = _parse(uri)
    kind: type[Sink] = SINKS.load(scheme)
    return (scheme, rest) if kind.writes_path and rest else None


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
        kind: type[Sink] = SINKS.load(scheme)
        if not kind.writes_path or not rest:
            continue
        taken = read.get(Path(rest).resolve())
        if taken is not None:
            raise UsageError(f"sink {uri} would overwrite {taken}; give another place to write to")
        read[Path(rest).resolve()] = f"the sink {uri}"
        if kind.names_by_image:
            for source in sources:
                _check_names(uri, source)


def _check_names(uri: str, source: str) -> None:
    # Imported here: reading a folder needs OpenCV, listing the sinks does not.
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
    if uri.startswith(FUNCTION):
        return "python", uri.removeprefix(FUNCTION)
    path = Path(uri)
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "video", uri
    if path.suffix.lower() == LINES_SUFFIX:
        return "jsonl", uri
    if uri.endswith("/") or path.is_dir():
        return "overlays" if OVERLAYS.fullmatch(path.name) else "masks", uri
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return "picture", uri
    raise UsageError(
        f"sink {uri!r}: give null, window, mjpeg://127.0.0.1:8080, a video file "
        f"({', '.join(VIDEO_SUFFIXES)}), a file ending in {LINES_SUFFIX} or .png, or a "
        "folder ending in /"
    )
