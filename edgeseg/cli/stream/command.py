"""`edgeseg stream`: the camera loop, with its report."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.common.crf_options import crf_option
from edgeseg.cli.common.given import resolved
from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import (
    DURATION,
    PATH,
    backend_option,
    json_option,
    needs,
    refuse_given,
)
from edgeseg.cli.common.output import print_json, progress_bar, say
from edgeseg.cli.common.runtimes import (
    engine_cache,
    engine_plugin,
    engine_precision,
    precision_option,
)
from edgeseg.cli.common.signals import exit_on_signal, stop_on_signal
from edgeseg.cli.stream.dashboard_options import dashboard_options
from edgeseg.core.images.palettes import PALETTES
from edgeseg.core.output_checks import check_file
from edgeseg.errors import SinkError

if TYPE_CHECKING:
    from edgeseg.core.report import Report
    from edgeseg.runtime.streaming.loop import LoopResult
    from edgeseg.runtime.streaming.session import StreamOptions

# Read by OpenCV when it opens a camera. Its own limits are 10 s for V4L2 and none for latency.
OPENCV_V4L2 = ("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")
# FFmpeg's own words repeat addresses, and what it takes for a host may be half a password.
QUIET = (("OPENCV_FFMPEG_LOGLEVEL", "-8"), ("OPENCV_LOG_LEVEL", "SILENT"))
OPENCV_RTSP = (
    "OPENCV_FFMPEG_CAPTURE_OPTIONS",
    "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|max_delay;0",
)


class StreamCommand(Verb):
    """A command whose help lists what the registries can open."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the schemes, those of installed packages included, and the example."""
        from edgeseg.runtime.sinks.open import SINKS
        from edgeseg.runtime.sources.open import SOURCES

        rows = [("SOURCE", ", ".join(SOURCES)), ("SINKS", ", ".join(SINKS))]
        with formatter.section("Schemes"):
            formatter.write_dl(rows)
        super().format_epilog(ctx, formatter)


@click.command(
    name="stream",
    cls=StreamCommand,
    epilog="Example: edgeseg stream deeplabv3plus-mobilenetv2-camvid"
    " 'synthetic://?frames=100' out.mp4",
)
@click.argument("bundle")
@click.argument("source")
@click.argument("sinks", nargs=-1)
@click.option(
    "--also",
    multiple=True,
    metavar="SOURCE",
    help="One more camera on the same network; may be repeated. A sink then needs {n} in it, "
    "which becomes the camera's number.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Frames of several cameras in one call of the network, at most one of each camera.",
)
@click.option(
    "--labels", type=PATH, help="Folder with a mask for each image of SOURCE, by file name."
)
@click.option("--frames", type=click.IntRange(min=1), help="Stop after this many frames.")
@click.option(
    "--duration", "--seconds", "seconds", type=DURATION, help="Stop after this time, as 90s or 5m."
)
@click.option(
    "--sustain",
    type=DURATION,
    help="Run for so long, files over and over, and report burst against sustained FPS.",
)
@click.option(
    "--pace",
    type=click.FloatRange(min=0, min_open=True),
    help="Replay a file or folder as a camera of this rate: late frames are dropped.",
)
@click.option(
    "--hold",
    "hold_ms",
    type=click.FloatRange(min=0),
    default=0.0,
    metavar="MS",
    help="Pretend that each inference takes this many ms: the score that a slower device would "
    "reach on a live source.",
)
@click.option(
    "--give-up",
    "give_up",
    type=DURATION,
    default="30s",
    show_default=True,
    help="A camera that is lost for so long ends the run; 0 never gives up.",
)
@click.option("--bf", is_flag=True, help="Measure boundary F1 as well, after the run.")
@click.option("--warmup", type=click.IntRange(min=0), default=3, show_default=True)
@click.option(
    "--shadow",
    metavar="BUNDLE",
    help="Reference that labels some frames too; agreement with it is reported.",
)
@click.option(
    "--every",
    type=click.IntRange(min=1),
    default=30,
    show_default=True,
    help="The reference sees one frame of so many.",
)
@click.option(
    "--alarm", type=click.FloatRange(0, 1), help="Warn when agreement falls below this, 0-1."
)
@click.option(
    "--harvest",
    type=PATH,
    help="Save the frames of least agreement here, as data for calibration or training.",
)
@click.option(
    "--harvest-limit",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    help="Most frames in the harvest.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of the class colour in pictures.",
)
@click.option(
    "--legend", is_flag=True, help="Write class names and the rate into pictures and videos."
)
@click.option(
    "--palette",
    type=click.Choice(PALETTES),
    default="own",
    show_default=True,
    help="Colours in pictures and videos: the network's own, or ones that cannot be mistaken for "
    "one another.",
)
@click.option(
    "--replace",
    is_flag=True,
    help="Write over what an earlier run left; without it the name gets a number, as out-2.mp4.",
)
@click.option(
    "-o",
    "--out",
    type=PATH,
    help="Write the report to this file as well, for edgeseg gate; with several cameras one file "
    "each, numbered.",
)
@crf_option
@dashboard_options
@backend_option
@precision_option("auto")
@json_option
@needs("cv2")
def command(
    bundle: str, source: str, also: tuple[str, ...], out: Path | None, as_json: bool, **given: Any
) -> None:
    """Run BUNDLE over SOURCE and report FPS, latency, memory and accuracy.

    SOURCE is synthetic://, a folder or glob of images, a video file, 0 or /dev/video0, csi://0,
    rtsp://…, http://… (MJPEG, snapshots, HLS) or gst://PIPELINE, with ?flip=h|v&rotate=90|180|270
    behind it; env:NAME or @FILE reads an address with a password from there. Files are never
    dropped; of a camera the newest frame wins. SINKS are any of window, a video file, a folder for
    masks (ends in /), overlays/, a picture (.png), a file of JSON lines (.jsonl),
    mjpeg://HOST:PORT, python:FILE.py:FUNCTION, null.

    A camera that is lost is looked for again. Ctrl-C or SIGTERM ends the loop and still gives the
    report.
    """
    if given["shadow"] is None:
        refuse_given(("every",), "there is no --shadow")
    if given["harvest"] is None:
        refuse_given(("harvest_limit",), "there is no --harvest")
    sources = tuple(resolved(word) for word in (source, *also))
    given["sinks"] = tuple(resolved(word) for word in given["sinks"])
    from edgeseg.runtime.backends.choose import chosen_backends

    chosen = chosen_backends((given["backend"],) if given["backend"] else ())
    places = _places(out, len(sources), bundle)
    from edgeseg.runtime.streaming.session import StreamOptions

    options = StreamOptions(
        bundle=bundle,
        sources=sources,
        reports=tuple(places),
        cache=engine_cache(),
        plugin=engine_plugin(),
        precision=engine_precision(chosen),
        has_display=any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY")),
        notify_socket=os.environ.get("NOTIFY_SOCKET", ""),
        **given,
    )
    unwritten = None
    with _running(options) as results:
        # Before a frozen camera is closed, which may take as long as its read limit.
        reports = [result.report for result in results]
        try:
            _write(places, reports)
        except OSError as error:
            # Kept: a report that has no file is printed all the same.
            unwritten = error
        if as_json:
            documents = [report.to_json() for report in reports]
            many = {"format": 1, "reports": documents}
            print_json(documents[0] if len(documents) == 1 else many)
        else:
            _print(reports)
    problems = _problems(reports)
    for result in results:
        if result.error is not None:
            for problem in problems:
                say(problem)
            if unwritten is not None:
                say(f"{unwritten.filename} was not written: {unwritten.strerror}")
            raise result.error
    if unwritten is not None:
        raise unwritten
    if problems:
        raise SinkError("; ".join(problems))


@contextlib.contextmanager
def _running(options: StreamOptions) -> Iterator[list[LoopResult]]:
    """Run to the end and yield the results before anything is closed."""
    from edgeseg.cli.stream.announce import announced, say_cut
    from edgeseg.runtime.streaming.session import open_session

    _set_opencv_limits(options.sources)
    with contextlib.ExitStack() as stack:
        if options.batch > 1:
            # Its copy of the bundle lies in a temporary folder.
            stack.enter_context(exit_on_signal())
        session = stack.enter_context(open_session(options, say))
        # Only now: while a network loads, ctrl-C interrupts as usual.
        stack.enter_context(stop_on_signal(session.stop))
        with announced(session.sources), progress_bar("stream") as bar:
            results = session.run(bar.update)
        say_cut(session.sources, results)
        yield results


def _problems(reports: Sequence[Report]) -> list[str]:
    """Return a line for each output that is not whole and each observer that failed."""
    problems = []
    for report in reports:
        where = f" of {report.source}" if len(reports) > 1 else ""
        run, shadow = report.run, report.shadow or {}
        problems += [f"sink {uri}: {text}" for uri, text in run["sink_errors"].items()]
        problems += [f"{name}{where}: {text}" for name, text in run["observer_errors"].items()]
        if shadow.get("failed"):
            problems.append(f"shadow{where}: {shadow['error']}")
    return problems


def _set_opencv_limits(sources: Sequence[str]) -> None:
    if any(uri.startswith(("rtsp:", "rtsps:")) for uri in sources):
        os.environ.setdefault(*OPENCV_RTSP)
    os.environ.setdefault(*OPENCV_V4L2)
    for name, value in QUIET:
        os.environ.setdefault(name, value)


def _places(out: Path | None, n: int, bundle: str) -> list[Path]:
    """Return the file of each report, refusing those that can never be written.

    Raises:
        UsageError: a folder stands where a file should, a file where its folder should, or a file
            of the bundle.
    """
    if out is None:
        return []
    found = [out] if n == 1 else [out.with_name(f"{out.stem}-{i}{out.suffix}") for i in range(n)]
    for path in found:
        check_file("-o", path, "report.json", (bundle,))
    return found


def _write(places: list[Path], reports: list[Report]) -> None:
    from edgeseg.core.report import write_report

    for path, report in zip(places, reports, strict=False):
        try:
            write_report(path, report)
        except OSError as error:
            # The original names a temporary file, if any.
            raise OSError(error.errno, error.strerror, str(path)) from error


def _print(reports: list[Report]) -> None:
    from edgeseg.cli.stream.report_table import print_report

    for report in reports:
        print_report(report)
