"""The loop's last stage: writes to the sinks, scores the labels and keeps the stage times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edgeseg.core.report import STAGES
from edgeseg.core.stage_times import StageTimes
from edgeseg.errors import EdgesegError
from edgeseg.runtime.evaluation.scoring import Scorer
from edgeseg.runtime.single_slot import Outcome, SingleSlot
from edgeseg.runtime.sinks.base import Prediction, Sink
from edgeseg.runtime.streaming.observer import Observer
from edgeseg.runtime.streaming.rate import Rate


class OutputStage:
    """Takes predictions one by one, in the loop's last thread.

    Args:
        sinks: where they go; one that raises is left out from then on.
        scorer: counts the labelled ones, None without truth.
        live: whether the age of a frame means anything.
        clock: nanoseconds that only go forward.
        observers: look at each prediction; one that raises is left out from then on.
        tell: told at once, in one line, of a sink or observer that failed.

    Attributes:
        n: finished predictions.
        first_ns: when the first was finished.
        last_ns: when the last was finished.
        times: durations by name of STAGES.
        age: arrival to labels ready, live sources only.
        rate: frames per second over the run.
        sink_errors: message by sink that failed or whose output is not whole.
        left: what each sink left on disk, by `finish`.
        observer_errors: message by observer that failed.
        error: what ended the thread, if anything did.
        busy: the sink that is taking a prediction now, None between two.
    """

    def __init__(
        self,
        sinks: list[Sink],
        scorer: Scorer | None,
        live: bool,
        clock: Callable[[], int],
        observers: Sequence[Observer] = (),
        tell: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._all = tuple(sinks)
        self._sinks = list(sinks)
        self._tell = tell
        self._observers = list(observers)
        self._scorer = scorer
        self._live = live
        self._clock = clock
        self.n = 0
        self.first_ns = 0
        self.last_ns = 0
        self.times = {name: StageTimes() for name in STAGES}
        self.age = StageTimes()
        self.rate = Rate()
        self.sink_errors: dict[str, str] = {}
        self.observer_errors: dict[str, str] = {}
        self.left: list[dict[str, Any]] = []
        self.error: EdgesegError | None = None
        self.busy: str | None = None

    def run(self, done: SingleSlot[Prediction], progress: Callable[[int], None]) -> None:
        """Take predictions until `done` ends; on an error close it, which ends the loop."""
        try:
            while not isinstance(found := done.get(), Outcome):
                self._take(found)
                progress(self.n)
        except Exception as error:
            self.error = (
                error
                if isinstance(error, EdgesegError)
                else EdgesegError(f"the sink thread failed: {error!r}")
            )
            done.close(discard=True)

    def give_up(self, waited_s: float) -> None:
        """Name the sink that did not come back; its thread is left behind.

        Args:
            waited_s: how long it was waited for.
        """
        if (uri := self.busy) is not None:
            self.sink_errors[uri] = (
                f"still busy with a frame {waited_s:g} s after the run ended, later ones are lost; "
                "look for a disk that hangs or a pipe that nobody reads"
            )

    def _take(self, prediction: Prediction) -> None:
        begin = self._clock()
        for sink in list(self._sinks):
            self.busy = sink.uri
            try:
                sink.write(prediction)
            except Exception as error:
                # One full disk or closed window must not stop the camera.
                self.sink_errors[sink.uri] = _message(error)
                self._sinks.remove(sink)
                self._tell(
                    f"sink {sink.uri} failed at frame {prediction.frame.index}, the run goes on "
                    f"without it: {_message(error)}"
                )
        self.busy = None
        end = self._clock()
        self._stamp(prediction, begin, end)
        if self._scorer is not None and prediction.frame.truth is not None:
            self._scorer.add(prediction.frame.truth, prediction.labels)
        for observer in list(self._observers):
            try:
                observer.add(prediction)
            except Exception as error:
                self.observer_errors[observer.name] = _message(error)
                self._observers.remove(observer)
                self._tell(f"{observer.name} failed, the run goes on without it: {_message(error)}")

    def finish(self) -> None:
        """Complete what the sinks wrote and count what can be read back; the thread has ended."""
        for sink in self._all:
            if sink.uri == self.busy:
                continue
            try:
                found = sink.finish()
            except Exception as error:
                self.sink_errors.setdefault(sink.uri, _message(error))
                continue
            if found is None:
                continue
            self.left.append(
                {"sink": sink.uri, "path": found.path, "wrote": found.wrote, "held": found.held}
            )
            earlier = self.sink_errors.get(sink.uri, "")
            if problem := earlier or found.problem:
                more = f"; {found.held} of {found.wrote} can be read back, {self.n} frames came"
                self.sink_errors[sink.uri] = f"{problem}{more}"

    def _stamp(self, prediction: Prediction, begin: int, end: int) -> None:
        frame = prediction.frame
        if self.n == 0:
            self.first_ns = end
        self.last_ns = end
        self.n += 1
        took = prediction.took_ns() | {"sink": end - begin}
        age_ns = took.pop("ready")
        whole, stages = end - frame.captured_ns, sum(took.values())
        took["wait"] = whole - stages
        # A file is read ahead: how long a frame then waits says nothing of the network.
        took["end_to_end"] = whole if self._live else stages
        for name, duration_ns in took.items():
            self.times[name].add(duration_ns)
        self.rate.add(end, prediction.infer_ns)
        if self._live:
            self.age.add(age_ns)


def _message(error: Exception) -> str:
    return str(error) if isinstance(error, EdgesegError) else repr(error)
