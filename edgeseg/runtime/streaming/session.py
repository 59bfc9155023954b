"""Runs a camera session: opens bundle, sources, sinks and live page, runs them, closes them all."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import math
import re
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.spec import ModelSpec
from edgeseg.core.zoo import find_bundle
from edgeseg.errors import UsageError
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.backends.batched import batched_bundle, check_rows
from edgeseg.runtime.backends.choose import chosen_backends, open_first, options_for
from edgeseg.runtime.backends.dense_crf import CrfBackend, refined
from edgeseg.runtime.backends.open import open_backend
from edgeseg.runtime.backends.shared import SharedBackend
from edgeseg.runtime.dashboard.open import open_dashboard
from edgeseg.runtime.sinks.base import Sink
from edgeseg.runtime.sinks.open import check_sinks, open_sink
from edgeseg.runtime.sinks.watchdog import WatchdogSink
from edgeseg.runtime.sources.base import Source
from edgeseg.runtime.sources.open import open_source
from edgeseg.runtime.streaming.cameras import run_all
from edgeseg.runtime.streaming.flicker import Flicker
from edgeseg.runtime.streaming.hard_frames import HardFrames
from edgeseg.runtime.streaming.loop import Loop, LoopOptions, LoopResult
from edgeseg.runtime.streaming.shadow import Shadow, ShadowOptions
from edgeseg.runtime.telemetry import Telemetry

Tell = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class StreamOptions:
    """What a session opens and how it runs; the fields are the options of `edgeseg stream`.

    Attributes:
        bundle: folder of the bundle, or a zoo name.
        sources: one URI or path for each camera, as open_source takes them.
        sinks: URIs as open_sink takes them; `{n}` becomes the camera's number.
        reports: files that the caller writes, which no sink may replace.
        batch: frames of several cameras in one call of the network.
        labels: folder with a mask for each image of the one source.
        frames: most frames of each camera, None for all.
        seconds: longest run, None for no limit.
        sustain: run for so many seconds, file sources over and over; None to run once.
        pace: replay file sources as cameras of this rate, frames per second.
        hold_ms: hold labels back until so many milliseconds after inference began.
        give_up: seconds after which a lost camera ends the run; 0 never does.
        bf: measure boundary F1 after the run.
        warmup: calls of the network before the clock starts.
        shadow: bundle of a reference network that labels some frames too.
        every: the reference gets one frame of so many.
        alarm: tell when agreement with the reference falls below this, 0-1.
        harvest: folder for the frames of least agreement.
        harvest_limit: most frames in the harvest.
        alpha: share of the class colour in pictures, 0-1.
        legend: write class names and the rate into pictures and videos.
        palette: one of PALETTES, for pictures and videos.
        replace: write over what an earlier run left, where else a number is added to the name.
        dashboard: address of the live page; "" is the default address, None is no page.
        token: what a viewer from another machine must know.
        backend: name of the runtime; None takes the first that works here.
        threads: threads of one inference; 0 leaves the choice to the runtime.
        cache: folder of TensorRT engines; None takes the default one.
        plugin: library with TensorRT plugins.
        precision: of the TensorRT engine: "int8", "fp16" or "auto", the one that `edgeseg build`
            found fastest; empty is the bundle's own.
        has_display: whether a window can be opened.
        notify_socket: address of systemd's watchdog, "" for none.
        crf: refine the labels by a dense CRF of these options; None for the network's own.

    Raises:
        UsageError: options contradict each other; every contradiction is in the message.
    """

    bundle: str
    sources: tuple[str, ...]
    sinks: tuple[str, ...] = ()
    reports: tuple[Path, ...] = ()
    batch: int = 1
    labels: Path | None = None
    frames: int | None = None
    seconds: float | None = None
    sustain: float | None = None
    pace: float | None = None
    hold_ms: float = 0.0
    give_up: float = 30.0
    bf: bool = False
    warmup: int = 3
    shadow: str | None = None
    every: int = 30
    alarm: float | None = None
    harvest: Path | None = None
    harvest_limit: int = 200
    alpha: float = 0.5
    legend: bool = False
    palette: str = "own"
    replace: bool = False
    dashboard: str | None = None
    token: str = dataclasses.field(default="", repr=False)
    backend: str | None = None
    threads: int = 0
    cache: Path | None = None
    plugin: Path | None = None
    precision: str = "auto"
    has_display: bool = True
    notify_socket: str = ""
    crf: CrfOptions | None = None

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

    def backend_options(self, name: str, threads: int) -> dict[str, Any]:
        """Return the keyword arguments that open backend `name`."""
        return options_for(
            name, threads, cache=self.cache, plugin=self.plugin, precision=self.precision
        )


@dataclasses.dataclass(frozen=True)
class Session:
    """An open session; open_session makes and closes it.

    Attributes:
        sources: one for each camera.
        stop: set it from any thread or signal handler, and the run ends within a frame's time.
    """

    sources: Sequence[Source]
    stop: threading.Event
    _loops: Sequence[Loop]
    _lanes: Sequence[Backend]
    _telemetry: Telemetry
    _frames: int | None
    _crf: CrfBackend | None

    def run(
        self, progress: Callable[[float, float | None], None] = lambda done, total: None
    ) -> list[LoopResult]:
        """Run to the end and return one result for each camera; call it once.

        Args:
            progress: told (frames done, frames in all) over all cameras; None where it is unknown.

        Raises:
            Exception: what a camera's loop raised and its report cannot hold.
        """
        results = run_all(
            self._loops,
            self._lanes,
            self.sources,
            self.stop,
            self._telemetry,
            self._frames,
            progress,
        )
        if self._crf is None:
            return results
        told = {"crf": self._crf.to_json()}
        return [
            dataclasses.replace(
                result,
                report=dataclasses.replace(result.report, run={**result.report.run, **told}),
            )
            for result in results
        ]


def stream(
    options: StreamOptions,
    *,
    progress: Callable[[float, float | None], None] = lambda done, total: None,
    tell: Tell = lambda line: None,
) -> list[LoopResult]:
    """Open a session, run it to its end and close it.

    Args:
        options: what to open and how to run.
        progress: told (frames done, frames in all) over all cameras; None where it is unknown.
        tell: told what a user should know during the run, one line at a time.

    Returns:
        One result for each camera: its report, and the error that ended it if one did.

    Raises:
        EdgesegError: something cannot be opened.
    """
    with open_session(options, tell) as session:
        return session.run(progress)


@contextlib.contextmanager
def open_session(options: StreamOptions, tell: Tell = lambda line: None) -> Iterator[Session]:
    """Open all that a run needs; everything is closed afterwards.

    Args:
        options: what to open and how to run.
        tell: told what a user should know, one line at a time: addresses of pages, alarms.

    Raises:
        EdgesegError: something cannot be opened.
    """
    check_sinks(
        [
            sink.replace("{n}", str(n))
            for sink in options.sinks
            for n in range(len(options.sources))
        ],
        options.sources,
        options.labels,
        options.reports,
    )
    loaded = find_bundle(options.bundle)
    names = [options.backend] if options.backend else chosen_backends(())
    with contextlib.ExitStack() as stack:
        # Before the backend: memory is measured as the drop since this was made.
        telemetry = stack.enter_context(Telemetry())
        sources = [stack.enter_context(source) for source in _open_sources(options, loaded.spec)]
        # Before the backend: an engine may take minutes, a wrong path must not wait for it.
        sinks = [
            _open_sinks(stack, options, loaded.spec, source, number, tell)
            for number, source in enumerate(sources)
        ]
        batched = _for_batch(stack, loaded, options.batch)
        name, opened_backend = open_first(
            names,
            lambda name: open_backend(
                name, batched, **options.backend_options(name, options.threads)
            ),
            tell,
        )
        running = stack.enter_context(opened_backend)
        if options.batch > 1:
            check_rows(running, loaded, options.batch)
        running = refined(running, loaded.spec.n_classes, options.crf)
        stop = threading.Event()
        shadows = _open_shadows(stack, options, loaded, name, stop, tell)
        pages = open_dashboard(
            stack,
            options.dashboard,
            options.token,
            loaded,
            running,
            [(s, x.status if x else None) for s, x in zip(sources, shadows, strict=True)],
            telemetry,
            tell,
        )
        for opened, page in zip(sinks, pages, strict=False):
            opened.append(page)
        if options.notify_socket:
            # Of several cameras the first one: systemd has one watchdog for a service.
            sinks[0].append(stack.enter_context(WatchdogSink(options.notify_socket)))
        lanes = _lanes(stack, running, len(sources))
        loops = _loops(stack, options, loaded, lanes, sources, sinks, shadows, tell)
        crf = running if isinstance(running, CrfBackend) else None
        yield Session(sources, stop, loops, lanes, telemetry, options.frames, crf)


def _for_batch(stack: contextlib.ExitStack, bundle: Bundle, n: int) -> Bundle:
    """Return the bundle, or a copy with the batch for as long as the run takes."""
    if n == 1:
        return bundle
    folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="edgeseg-batch-"))
    return batched_bundle(bundle, n, Path(folder) / "bundle")


def _open_sources(options: StreamOptions, spec: ModelSpec) -> Iterator[Source]:
    for uri in options.sources:
        yield open_source(
            uri,
            spec,
            labels=options.labels,
            pace_fps=options.pace,
            repeat=options.sustain is not None,
        )


def _open_sinks(
    stack: contextlib.ExitStack,
    options: StreamOptions,
    spec: ModelSpec,
    source: Source,
    number: int,
    tell: Tell,
) -> list[Sink]:
    sinks = [
        stack.enter_context(
            open_sink(
                uri.replace("{n}", str(number)),
                spec,
                fps=source.fps,
                alpha=options.alpha,
                has_display=options.has_display,
                token=options.token,
                legend=options.legend,
                palette=options.palette,
                replace=options.replace,
                tell=tell,
            )
        )
        for uri in options.sinks
    ]
    for sink in sinks:
        if sink.uri.startswith("mjpeg://"):
            place = sink.uri.removeprefix("mjpeg://")
            tell(f"pictures: http://{place}/ in a browser, http://{place}/stream in a player")
    return sinks


def _open_shadows(
    stack: contextlib.ExitStack,
    options: StreamOptions,
    bundle: Bundle,
    backend: str,
    stop: threading.Event,
    tell: Tell,
) -> list[Shadow | None]:
    n = len(options.sources)
    if options.shadow is None:
        return [None] * n
    reference = find_bundle(options.shadow)
    # One thread: the reference may be slow, the camera may not.
    opening = options.backend_options(backend, 1)
    shadows: list[Shadow | None] = []
    for number in range(n):
        folder, whose = options.harvest, f"camera {number}: " if n > 1 else ""
        if folder is not None and n > 1:
            folder = folder / str(number)
        harvest = HardFrames(folder, bundle.spec, options.harvest_limit) if folder else None
        shadow = Shadow(
            lambda: open_backend(backend, reference, **opening),
            reference,
            bundle.spec,
            ShadowOptions(
                options.every, options.alarm, functools.partial(_alarm, tell, whose), stop
            ),
            harvest,
        )
        shadows.append(stack.enter_context(shadow))
    return shadows


def _alarm(tell: Tell, whose: str, line: str) -> None:
    tell(f"alarm: {whose}{line}")


def _lanes(stack: contextlib.ExitStack, backend: Backend, n: int) -> list[Backend]:
    """Return what each camera calls: a lane of the backend, or the backend itself for only one."""
    if n == 1 and backend.io.frame_shape[0] == 1:
        return [backend]
    shared = SharedBackend(backend, n)
    return [stack.enter_context(shared.lane(number)) for number in range(n)]


def _loops(
    stack: contextlib.ExitStack,
    options: StreamOptions,
    bundle: Bundle,
    lanes: Sequence[Backend],
    sources: Sequence[Source],
    sinks: Sequence[list[Sink]],
    shadows: Sequence[Shadow | None],
    tell: Tell,
) -> list[Loop]:
    how = LoopOptions(
        warmup=options.warmup,
        max_frames=options.frames,
        max_seconds=options.sustain or options.seconds,
        boundary=options.bf,
        stall_s=options.give_up,
        hold_s=options.hold_ms / 1e3,
        tell=tell,
    )
    loops = []
    for lane, source, own, shadow in zip(lanes, sources, sinks, shadows, strict=True):
        observers = [stack.enter_context(Flicker()), *([shadow] if shadow else [])]
        loops.append(Loop(lane, bundle, source, own, how, observers))
    return loops
