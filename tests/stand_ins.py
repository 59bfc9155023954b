"""A backend, a source and a sink that do on purpose what real ones do by accident."""

import threading
import time

import numpy as np
from tinybundle import SIZE_HW, expected_labels, random_frame

from edgeseg.runtime.backends.base import Backend, BackendIo
from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sinks.base import Prediction, Sink
from edgeseg.runtime.sources.base import Frame, Source
from edgeseg.runtime.sources.live import LiveSource


class ArgmaxBackend(Backend):
    """The tiny bundle in numpy; reuses one buffer as the contract allows, can fail or be slow."""

    def __init__(self, *, fail_at: int | None = None, sleep_s: float = 0.0, error=None) -> None:
        self.io = BackendIo("argmax 1", "cpu", "f32", 1, (1, *SIZE_HW, 3))
        self.calls = 0
        self._fail_at = fail_at
        self._sleep_s = sleep_s
        self._error = error or RuntimeError("kernel launch failed")
        self._labels = np.empty((1, *SIZE_HW), np.uint8)

    def infer(self, frames: np.ndarray) -> np.ndarray:
        if self._fail_at is not None and self.calls >= self._fail_at:
            raise self._error
        self.calls += 1
        if self._sleep_s:
            time.sleep(self._sleep_s)
        self._labels[:] = expected_labels(frames)
        return self._labels

    def close(self) -> None:
        pass


class ListSource(Source):
    """Frames from memory, with truth; can fail or stall after some of them."""

    def __init__(
        self, n: int, *, size_hw=SIZE_HW, then: str = "end", sleep_s: float = 0.0, labelled=True
    ) -> None:
        self.uri = "list://"
        self.length = n
        self.labelled = labelled
        self._n = n
        self._size_hw = size_hw
        self._then = then
        self._sleep_s = sleep_s
        self._next = 0

    def read(self, timeout_s: float) -> Frame | Ending:
        if self._next >= self._n:
            if self._then == "stall":
                time.sleep(timeout_s)
                return Outcome.TIMEOUT
            if self._then == "raise":
                raise OSError("cable pulled")
            return Outcome.END
        index, self._next = self._next, self._next + 1
        start = time.perf_counter_ns()
        time.sleep(self._sleep_s)
        rgb = random_frame(index, self._size_hw)
        truth = expected_labels(rgb) if self.labelled else None
        return Frame(rgb, index, start, time.perf_counter_ns() - start, truth)

    def close(self) -> None:
        self._n = 0


class TickingCamera(LiveSource):
    """A live camera of a given period; freezes or fails after some frames."""

    def __init__(self, period_s: float, *, frames: int = 10_000, then: str = "end") -> None:
        super().__init__("ticking://")
        self._period_s = period_s
        self._frames = frames
        self._then = then
        self._index = 0
        self.released = False

    def fetch(self, stop: threading.Event) -> Frame | Ending:
        if stop.wait(self._period_s):
            return Outcome.END
        if self._index >= self._frames:
            if self._then == "raise":
                raise OSError("unplugged")
            return Outcome.END if self._then == "end" else Outcome.TIMEOUT
        frame = Frame(random_frame(self._index), self._index, time.perf_counter_ns())
        self._index += 1
        return frame

    def release(self) -> None:
        self.released = True


class ListSink(Sink):
    """Keeps predictions; can fail or be slow."""

    def __init__(self, *, fail_at: int | None = None, sleep_s: float = 0.0) -> None:
        self.uri = "list"
        self.taken: list[Prediction] = []
        self._fail_at = fail_at
        self._sleep_s = sleep_s

    def write(self, prediction: Prediction) -> None:
        if self._fail_at is not None and len(self.taken) >= self._fail_at:
            raise OSError(28, "No space left on device")
        time.sleep(self._sleep_s)
        self.taken.append(prediction)

    def close(self) -> None:
        pass
