"""What `edgeseg stream` opens, runs and closes."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import os
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.common.output import say
from edgeseg.cli.common.runtimes import backend_options, first_backend
from edgeseg.cli.common.signals import exit_on_signal, stop_on_signal
from edgeseg.cli.stream.announce import announced, run_all, say_cut
from edgeseg.cli.stream.dashboard_options import open_dashboard
from edgeseg.errors import UsageError

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.core.spec import ModelSpec
    from edgeseg.runtime.backends.base import Backend
    from edgeseg.runtime.sinks.base import Sink
    from edgeseg.runtime.sources.base import Source
    from edgeseg.runtime.streaming.loop import Loop, LoopResult
    from edgeseg.runtime.streaming.shadow import Shadow

# Read by OpenCV when it opens a camera. Its own limits are 10 s for V4L2 and none for latency.
OPENCV_V4L2 = ("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", "2")
OPENCV_RTSP = (
    "OPENCV_FFMPEG_CAPTURE_OPTIONS",
    "rtsp_transport;tcp|fflags;nobuffer|flags;low_delay|max_delay;0",
)


@dataclasses.dataclass(frozen=True)
class Wishes:
    """The command line, parsed; fields are the options of `edgeseg stream`."""

    bundle: str
    sources: tuple[str, ...]
    sinks: tuple[str, ...]
    reports: tuple[Path, ...]
    batch: int
    labels: Path | None
    frames: int | None
    seconds: float | None
    sustain: float | None
    pace: float | None
    hold_ms: float
    give_up: float
    bf: bool
    warmup: int
    shadow: str | None
    every: int
    alarm: float | None
    harvest: Path | None
    harvest_limit: int
    alpha: float
    dashboard: str | None
    token: str
    backend: str | None
    threads: int

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        problems = []
        if self.shadow is None and (self.harvest is not None or self.alarm is not None):
            problems.append("--harvest and --alarm need --shadow BUNDLE to compare with")
        if self.pace is not None and any(re.search(r"[?&]fps=[^&]", s) for s in self.sources):
            problems.append("--pace and fps= of a source both set its rate; leave one out")
        if self.sustain == 0:
            problems.append("--sustain is 0, expected a time above 0, as 5m")
        if self.sustain and (self.seconds or self.frames):
            problems.append("--sustain sets the time itself; leave --duration and --frames out")
        if not math.isfinite(self.hold_ms):
            problems.append(f"--hold is {self.hold_ms}, expected milliseconds")
        if self.labels is not None and len(self.sources) > 1:
            problems.append("--labels belongs to one SOURCE; leave --also out")
        if self.batch > len(self.sources):
            problems.append(
                f"--batch {self.batch} with {len(self.sources)} SOURCE; a call takes one frame of "
                "each camera, so add cameras with --also or give a smaller batch"
            )
        if len(self.sources) > 1:
            problems += [
                f"sink {sink} for {len(self.sources)} cameras: put {{n}} into it, as out-{{n}}.mp4"
                for sink in self.sinks
                if "{n}" not in sink and sink != "null"
            ]
        if problems:
            raise UsageError("; ".join(problems))


@contextlib.contextmanager
def run(wishes: Wishes) -> Iterator[list[LoopResult]]:
    """Run to the end and yield one result for each source; everything is closed afterwards."""
    from edgeseg.core.zoo import find_bundle
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.sinks.base import check_sinks
    from edgeseg.runtime.telemetry import Telemetry

    check_sinks(
        [sink.replace("{n}", str(n)) for sink in wishes.sinks for n in range(len(wishes.sources))],
        wishes.sources,
        wishes.labels,
        wishes.reports,
    )
    loaded = find_bundle(wishes.bundle)
    name = first_backend(wishes.backend)
    with contextlib.ExitStack() as stack:
        # Before the backend: memory is measured as the drop since this was made.
        telemetry = stack.enter_context(Telemetry())
        sources = [stack.enter_context(source) for source in _open_sources(wishes, loaded.spec)]
        # Before the backend: an engine may take minutes, a wrong path must not wait for it.
        sinks = [_open_sinks(stack, wishes, loaded.spec, s, n) for n, s in enumerate(sources)]
        options = backend_options(name, wishes.threads)
        running = stack.enter_context(
            open_backend(name, _for_batch(stack, loaded, wishes.batch), **options)
        )
        if wishes.batch > 1:
            from edgeseg.runtime.backends.batched import check_rows

            check_rows(running, loaded, wishes.batch)
        stop = threading.Event()
        shadows = _open_shadows(stack, wishes, loaded, name, len(sources), stop)
        pages = open_dashboard(
            stack,
            wishes.dashboard,
            wishes.token,
            loaded,
            running,
            [(s, x.status if x else None) for s, x in zip(sources, shadows, strict=True)],
            telemetry,
        )
        for opened, page in zip(sinks, pages, strict=False):
            opened.append(page)
        if "NOTIFY_SOCKET" in os.environ:
            from edgeseg.runtime.sinks.watchdog import WatchdogSink

            # Of several cameras the first one: systemd has one watchdog for a service.
            sinks[0].append(stack.enter_context(WatchdogSink(os.environ["NOTIFY_SOCKET"])))
        lanes = _lanes(stack, running, len(sources))
        loops = _loops(stack, wishes, loaded, lanes, sources, sinks, shadows)
        # Only now: while a network loads, ctrl-C interrupts as usual.
        stack.enter_context(stop_on_signal(stop))
        with announced(sources):
            results = run_all(loops, lanes, sources, stop, telemetry, wishes.frames)
        say_cut(sources, results)
        yield results


def _for_batch(stack: contextlib.ExitStack, bundle: Bundle, n: int) -> Bundle:
    """Return the bundle, or a copy with the batch for as long as the run takes."""
    if n == 1:
        return bundle
    from edgeseg.runtime.backends.batched import batched_bundle

    stack.enter_context(exit_on_signal())
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeseg-batch-"))
    return batched_bundle(bundle, n, Path(folder) / "bundle")


def _open_sources(wishes: Wishes, spec: ModelSpec) -> Iterator[Source]:
    from edgeseg.runtime.sources.base import open_source

    if any(uri.startswith(("rtsp:", "rtsps:")) for uri in wishes.sources):
        os.environ.setdefault(*OPENCV_RTSP)
    os.environ.setdefault(*OPENCV_V4L2)
    for uri in wishes.sources:
        yield open_source(
            uri,
            spec,
            labels=wishes.labels,
            pace_fps=wishes.pace,
            repeat=wishes.sustain is not None,
        )


def _open_sinks(
    stack: contextlib.ExitStack, wishes: Wishes, spec: ModelSpec, source: Source, number: int
) -> list[Sink]:
    from edgeseg.runtime.sinks.base import open_sink

    has_display = any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    sinks = [
        stack.enter_context(
            open_sink(
                uri.replace("{n}", str(number)),
                spec,
                fps=source.fps,
                alpha=wishes.alpha,
                has_display=has_display,
                token=wishes.token,
            )
        )
        for uri in wishes.sinks
    ]
    for sink in sinks:
        if sink.uri.startswith("mjpeg://"):
            place = sink.uri.removeprefix("mjpeg://")
            say(f"pictures: http://{place}/ in a browser, http://{place}/stream in a player")
    return sinks


def _open_shadows(
    stack: contextlib.ExitStack,
    wishes: Wishes,
    bundle: Bundle,
    backend: str,
    n: int,
    stop: threading.Event,
) -> list[Shadow | None]:
    if wishes.shadow is None:
        return [None] * n
    from edgeseg.core.zoo import find_bundle
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.streaming.hard_frames import Harvest
    from edgeseg.runtime.streaming.shadow import Shadow, ShadowOptions

    reference = find_bundle(wishes.shadow)
    # One thread: the reference may be slow, the camera may not.
    options = backend_options(backend, 1)
    shadows: list[Shadow | None] = []
    for number in range(n):
        folder, whose = wishes.harvest, f"camera {number}: " if n > 1 else ""
        if folder is not None and n > 1:
            folder = folder / str(number)
        harvest = Harvest(folder, bundle.spec, wishes.harvest_limit) if folder else None
        shadow = Shadow(
            lambda: open_backend(backend, reference, **options),
            reference,
            bundle.spec,
            ShadowOptions(wishes.every, wishes.alarm, functools.partial(_alarm, whose), stop),
            harvest,
        )
        shadows.append(stack.enter_context(shadow))
    return shadows


def _alarm(whose: str, line: str) -> None:
    say(f"alarm: {whose}{line}")


def _lanes(stack: contextlib.ExitStack, backend: Backend, n: int) -> list[Backend]:
    """Return what each camera calls: a lane of the backend, or the backend itself for only one."""
    if n == 1 and backend.io.frame_shape[0] == 1:
        return [backend]
    from edgeseg.runtime.backends.shared import SharedBackend

    shared = SharedBackend(backend, n)
    return [stack.enter_context(shared.lane(number)) for number in range(n)]


def _loops(
    stack: contextlib.ExitStack,
    wishes: Wishes,
    bundle: Bundle,
    lanes: Sequence[Backend],
    sources: Sequence[Source],
    sinks: Sequence[list[Sink]],
    shadows: Sequence[Shadow | None],
) -> list[Loop]:
    from edgeseg.runtime.streaming.flicker import Flicker
    from edgeseg.runtime.streaming.loop import Loop, LoopOptions

    options = LoopOptions(
        warmup=wishes.warmup,
        max_frames=wishes.frames,
        max_seconds=wishes.sustain or wishes.seconds,
        boundary=wishes.bf,
        stall_s=wishes.give_up,
        hold_s=wishes.hold_ms / 1e3,
    )
    loops = []
    for lane, source, own, shadow in zip(lanes, sources, sinks, shadows, strict=True):
        observers = [stack.enter_context(Flicker()), *([shadow] if shadow else [])]
        loops.append(Loop(lane, bundle, source, own, options, observers))
    return loops
