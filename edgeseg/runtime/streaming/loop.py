"""The camera loop: source -> preprocess -> infer -> sinks, with the clock."""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.bundle import Bundle
from edgeseg.core.report import Accuracy, BundleId, Memory, Report
from edgeseg.core.stage_times import frames_per_second
from edgeseg.errors import BackendError, EdgesegError, SourceError
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.backends.shared import Lane
from edgeseg.runtime.evaluation.scoring import Scorer
from edgeseg.runtime.single_slot import Outcome, SingleSlot
from edgeseg.runtime.sinks.base import Prediction, Sink
from edgeseg.runtime.sources.base import Source
from edgeseg.runtime.streaming.input_stage import POLL_S, InputStage, SourceSummary
from edgeseg.runtime.streaming.observer import Observer
from edgeseg.runtime.streaming.output_stage import OutputStage
from edgeseg.runtime.streaming.streaming_score import StreamingScorer
from edgeseg.runtime.telemetry import Measurement

JOIN_S = 5.0
THREAD = "edgeseg-loop"
GREY = 114
NOT_MEASURED = Measurement(machine={}, memory=None, power_w=None, temperature_c=None)


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How a loop runs.

    Attributes:
        warmup: backend calls on a grey frame before the clock starts; not frames of the source.
        max_frames: end after this many frames, None for all.
        max_seconds: end after this time, None for no limit.
        boundary: measure BF too, after the run.
        stall_s: a live source that gives no frame for so long has failed; 0 waits for ever.
        hold_s: hold the labels of each frame back until so long after its inference began: what a
            slower device would give.
        tell: told at once, in one line, of a sink or observer that failed.
        clock: nanoseconds that only go forward.
    """

    warmup: int = 3
    max_frames: int | None = None
    max_seconds: float | None = None
    boundary: bool = False
    stall_s: float = 10.0
    hold_s: float = 0.0
    tell: Callable[[str], None] = lambda line: None
    clock: Callable[[], int] = time.perf_counter_ns


@dataclasses.dataclass(frozen=True)
class LoopResult:
    """What a loop left: always a report, and the error that ended it if one did."""

    report: Report
    error: EdgesegError | None = None


class Loop:
    """Runs a backend over a source; made for one run.

    Reading, fitting, inferring and writing overlap in four threads with one frame between
    neighbours, so the slowest of them sets the rate. input_stage.py says which frames of a source
    reach the network.

    Args:
        backend: open; it stays open.
        bundle: what the backend runs.
        source: open; it stays open.
        sinks: open; one that fails is left out from then on and the run goes on. One that never
            returns holds the run up until `stop` or the time limit, and is then left behind.
        options: how to run.
        observers: open; each fills a field of the report.
    """

    def __init__(
        self,
        backend: Backend,
        bundle: Bundle,
        source: Source,
        sinks: Sequence[Sink] = (),
        options: LoopOptions | None = None,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._backend = backend
        self._bundle = bundle
        self._source = source
        self._options = options or LoopOptions()
        self._clock = self._options.clock
        self._input = InputStage(source, bundle.spec, self._clock)
        self._observers = observers
        self._done: SingleSlot[Prediction] = SingleSlot()
        self._scorer: Scorer | None = None
        self._streaming: StreamingScorer | None = None
        if source.labelled:
            classes = bundle.spec.n_classes, bundle.spec.ignore_index
            self._scorer = Scorer(*classes, boundary=self._options.boundary)
            if source.live:
                self._streaming = StreamingScorer(*classes)
                source.watch(self._streaming.arrived)
        self._output = OutputStage(
            list(sinks), self._scorer, source.live, self._clock, observers, self._options.tell
        )

    def run(
        self,
        *,
        stop: threading.Event | None = None,
        progress: Callable[[int], None] = lambda done: None,
        begin: Callable[[], None] = lambda: None,
        measure: Callable[[], Measurement] = lambda: NOT_MEASURED,
    ) -> LoopResult:
        """Run to the end of the source, a limit, an error, or until `stop` is set.

        Args:
            stop: set it from anywhere; the run then ends within about a frame's time.
            progress: called with the number of finished frames, from the sink thread.
            begin: called once, when the backend is warm and before the first frame, e.g.
                Telemetry.begin.
            measure: asked once, when the last frame is done, e.g. Telemetry.measure.
        """
        error: EdgesegError | None = None
        accuracy: Accuracy | None = None
        ended_by = "error"
        threads: list[threading.Thread] = []
        try:
            self._warm_up()
            begin()
            threads = self._start(progress)
            ended_by = self._infer_all(stop or threading.Event())
        except EdgesegError as raised:
            error = raised
        finally:
            supply = self._input.halt()
            self._done.close()
            if self._streaming is not None:
                # Joining and measuring take seconds, in which a camera gives further frames.
                self._streaming.close()
            for thread in threads:
                thread.join(JOIN_S)
            self._output.give_up(JOIN_S)
            # Before the scores are worked out, which needs memory that the run did not.
            measured = measure()
            self._output.finish()
            try:
                accuracy = self._accuracy()
            except EdgesegError as raised:
                error = error or raised
        error = error or self._output.error
        report = self._report("error" if error else ended_by, error, accuracy, measured, supply)
        return LoopResult(report, error)

    def _warm_up(self) -> None:
        grey = np.full(self._backend.io.frame_shape, GREY, np.uint8)
        for _ in range(self._options.warmup):
            self._infer(grey)

    def _start(self, progress: Callable[[int], None]) -> list[threading.Thread]:
        jobs: list[Callable[[], None]] = [
            lambda: self._output.run(self._done, progress),
            *self._input.jobs(),
        ]
        # Daemons: a write to a hung disk or an unread pipe has no limit, and the program must end.
        threads = [threading.Thread(target=job, name=THREAD, daemon=True) for job in jobs]
        for thread in threads:
            thread.start()
        return threads

    def _infer_all(self, stop: threading.Event) -> str:
        limits = self._options
        started = last = self._clock()
        count = 0
        while True:
            if ended_by := self._limit(stop, started, count):
                return ended_by
            item = self._input.next()
            if item is Outcome.END:
                return "end"
            if isinstance(item, Outcome):
                # A replay may be slower than that on purpose.
                patience_s = max(limits.stall_s, 2 / (self._source.fps or math.inf))
                stall_ns = patience_s * 1e9 if limits.stall_s else 0
                if self._source.live and 0 < stall_ns < self._clock() - last:
                    raise SourceError(
                        f"{self._source.uri} gave no frame for {patience_s:g} s; check it"
                    )
                continue
            begin = self._clock()
            labels = self._infer(item.rgb[None])
            left_ns = limits.hold_s * 1e9 - (self._clock() - begin)
            if left_ns > 0 and (ended_by := self._hold(stop, started, left_ns)):
                return ended_by
            inferred = self._clock()
            # A network that several cameras share: waiting for one's turn is not inferring.
            waited_ns = self._backend.waited_ns if isinstance(self._backend, Lane) else 0
            restored = item.placement.invert_labels(labels[0])
            last = self._clock()
            if self._streaming is not None:
                self._streaming.ready(restored)
            preprocess_ns = item.took_ns + last - inferred
            infer_ns = inferred - begin - waited_ns
            prediction = Prediction(item.frame, restored, preprocess_ns, infer_ns, last)
            # In pieces: a sink that hangs would hold up the end of the run too.
            while not self._done.put(prediction, POLL_S):
                if self._done.closed:
                    return "error"
                if ended_by := self._limit(stop, started, count):
                    return ended_by
            count += 1

    def _hold(self, stop: threading.Event, started: int, left_ns: float) -> str | None:
        """Wait, and return what ends the run meanwhile: such labels never come."""
        limit_s = self._options.max_seconds
        until_ns = math.inf if limit_s is None else started + limit_s * 1e9 - self._clock()
        if stop.wait(min(left_ns, max(until_ns, 0)) / 1e9):
            return "stop"
        return "duration" if until_ns < left_ns else None

    def _limit(self, stop: threading.Event, started: int, count: int) -> str | None:
        """Return what ends the run now, None while it may go on."""
        limits = self._options
        if stop.is_set():
            return "stop"
        if limits.max_frames is not None and count >= limits.max_frames:
            return "frames"
        if limits.max_seconds is not None and self._clock() - started >= limits.max_seconds * 1e9:
            return "duration"
        return None

    def _infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        try:
            return self._backend.infer(frames)
        except EdgesegError:
            raise
        except Exception as error:
            # Whatever a runtime raises, the frames before it deserve their report.
            raise BackendError(f"the backend failed: {error!r}") from error

    def _accuracy(self) -> Accuracy | None:
        try:
            streaming = self._streaming.miou() if self._streaming is not None else None
            if self._scorer is None:
                return None
            return self._scorer.accuracy(self._bundle.spec.class_names, streaming)
        finally:
            if self._scorer is not None:
                self._scorer.close()

    def _report(
        self,
        ended_by: str,
        error: EdgesegError | None,
        accuracy: Accuracy | None,
        measured: Measurement,
        supply: SourceSummary,
    ) -> Report:
        output, source, bundle = self._output, self._source, self._bundle
        observed = {observer.name: observer.result() for observer in self._observers}
        series = {name: times.percentiles() for name, times in output.times.items()}
        return Report(
            bundle=BundleId(bundle.name, bundle.digest, bundle.precision),
            machine=measured.machine,
            source=source.uri,
            frames=output.n,
            dropped=supply.dropped,
            reconnects=supply.reconnects,
            fps=frames_per_second(output.n, output.first_ns, output.last_ns),
            latency_ms={name: found for name, found in series.items() if found is not None},
            memory=_with(measured.memory, self._backend.memory),
            frame_age_ms=output.age.percentiles(),
            power_w=measured.power_w,
            temperature_c=measured.temperature_c,
            energy=None
            if measured.energy is None
            else measured.energy.per_frame(output.n, output.first_ns, output.last_ns),
            hardware=measured.hardware,
            accuracy=accuracy,
            rate=output.rate.to_json(),
            connection=supply.connection,
            shadow=observed.get("shadow"),
            flicker=observed.get("flicker"),
            backend=self._backend.io.to_json(),
            run={
                "live": source.live,
                "source_fps": source.fps,
                "warmup_runs": self._options.warmup,
                "batch": self._backend.batch if isinstance(self._backend, Lane) else 1,
                "ended_by": ended_by,
                "error": str(error) if error else None,
                "held_to_ms": self._options.hold_s * 1e3 or None,
                "sinks": list(output.left),
                "sink_errors": dict(output.sink_errors),
                "observer_errors": dict(output.observer_errors),
            },
        )


def _with(memory: Memory | None, known: Mapping[str, int]) -> Memory | None:
    """Add what the runtime knows of its own memory to what was measured from outside."""
    if memory is None:
        return None
    return dataclasses.replace(memory, details={**memory.details, **known})
