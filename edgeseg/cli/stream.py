"""`edgeseg stream`: the camera loop, with its report."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.dashboard import dashboard_options, open_dashboard
from edgeseg.cli.options import PATH, backend_option, json_option, needs
from edgeseg.cli.output import print_json, progress_bar, say
from edgeseg.cli.runtimes import first_backend

if TYPE_CHECKING:
    from edgeseg.core.spec import ModelSpec
    from edgeseg.target.sink import Sink


@click.command(
    name="stream",
    epilog="Example: edgeseg stream runs/export/model 'synthetic://?frames=200' out.mp4",
)
@click.argument("bundle")
@click.argument("source")
@click.argument("sinks", nargs=-1)
@click.option(
    "--labels", type=PATH, help="Folder with a mask for each image of SOURCE, by file name."
)
@click.option("--frames", type=click.IntRange(min=1), help="Stop after this many frames.")
@click.option(
    "--seconds", type=click.FloatRange(min=0, min_open=True), help="Stop after this time."
)
@click.option(
    "--pace",
    type=click.FloatRange(min=0, min_open=True),
    help="Replay a file or folder as a camera of this rate: late frames are dropped.",
)
@click.option("--bf", is_flag=True, help="Measure boundary F1 as well, after the run.")
@click.option("--warmup", type=click.IntRange(min=0), default=3, show_default=True)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 1),
    default=0.5,
    show_default=True,
    help="Share of the class colour in pictures.",
)
@click.option(
    "-o", "--out", type=PATH, help="Write the report to this file as well, for edgeseg gate."
)
@dashboard_options
@backend_option
@json_option
@needs("cv2")
def command(
    bundle: str,
    source: str,
    sinks: tuple[str, ...],
    labels: Path | None,
    frames: int | None,
    seconds: float | None,
    pace: float | None,
    bf: bool,
    warmup: int,
    alpha: float,
    out: Path | None,
    dashboard: str | None,
    token: str,
    backend: str | None,
    threads: int,
    as_json: bool,
) -> None:
    """Run BUNDLE over SOURCE and report FPS, latency, memory and accuracy.

    SOURCE is synthetic://, a folder or glob of images, a video file, v4l2:///dev/video0, csi://0,
    rtsp://… or gst://PIPELINE. Files are never dropped; of a camera the newest frame wins. SINKS
    are any of window, a video file, a folder for masks (ends in /), mjpeg://HOST:PORT, null.

    Ctrl-C or SIGTERM ends the loop and still gives the report.
    """
    from edgeseg.core.report import write_report
    from edgeseg.core.zoo import find_bundle
    from edgeseg.target.backends import open_backend
    from edgeseg.target.loop import Loop, LoopOptions
    from edgeseg.target.source import open_source
    from edgeseg.target.telemetry import Telemetry

    loaded = find_bundle(bundle)
    name = first_backend(backend)
    options = LoopOptions(warmup=warmup, max_frames=frames, max_seconds=seconds, boundary=bf)
    with contextlib.ExitStack() as stack:
        # Before the backend: memory is measured as the drop since this was made.
        telemetry = stack.enter_context(Telemetry())
        opened = stack.enter_context(open_source(source, loaded.spec, labels=labels, pace_fps=pace))
        running = stack.enter_context(open_backend(name, loaded, threads=threads or None))
        outputs = _open_sinks(stack, sinks, loaded.spec, opened.fps, alpha, token)
        outputs += open_dashboard(
            stack, dashboard, token, loaded, running, [(opened, None)], telemetry
        )
        stop = stack.enter_context(_stop_on_signal())
        total = frames if opened.length is None else min(frames or opened.length, opened.length)
        bar = stack.enter_context(progress_bar("stream", total))
        result = Loop(running, loaded, opened, outputs, options).run(
            stop=stop, progress=bar.update, measure=telemetry.measure
        )
    if out is not None:
        write_report(out, result.report)
    if as_json:
        print_json(result.report.to_json())
    else:
        from edgeseg.target.table import print_report

        print_report(result.report)
    for uri, message in result.report.run["sink_errors"].items():
        say(f"sink {uri} was left out after it failed: {message}")
    if result.error is not None:
        raise result.error


def _open_sinks(
    stack: contextlib.ExitStack,
    uris: tuple[str, ...],
    spec: ModelSpec,
    fps: float | None,
    alpha: float,
    token: str,
) -> list[Sink]:
    from edgeseg.target.sink import open_sink

    has_display = any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    return [
        stack.enter_context(
            open_sink(uri, spec, fps=fps, alpha=alpha, has_display=has_display, token=token)
        )
        for uri in uris
    ]


@contextlib.contextmanager
def _stop_on_signal() -> Iterator[threading.Event]:
    """Yield an event that ctrl-C or SIGTERM sets; a second ctrl-C interrupts as usual."""
    stop = threading.Event()

    def ask(number: int, frame: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("edgeseg: ending; the report follows", file=sys.stderr)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
