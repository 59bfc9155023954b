import threading
import time

import numpy as np
import pytest
from stand_ins import ArgmaxBackend, ListSink, ListSource
from tinybundle import SIZE_HW, expected_labels, random_frame, tiny_bundle

from edgeseg.errors import BackendError
from edgeseg.runtime.backends.base import Backend, BackendIo
from edgeseg.runtime.backends.shared import SharedBackend
from edgeseg.runtime.streaming.loop import Loop, LoopOptions

pytestmark = pytest.mark.usefixtures("no_thread_left")


class BatchBackend(Backend):
    """Argmax over several frames at once."""

    def __init__(self, batch: int, *, sleep_s: float = 0.0, fail_at: int | None = None) -> None:
        self.io = BackendIo("argmax 1", "cpu", "f32", 1, (batch, *SIZE_HW, 3))
        self.calls = 0
        self._sleep_s = sleep_s
        self._fail_at = fail_at

    def infer(self, frames):
        self.calls += 1
        if self.calls == self._fail_at:
            raise RuntimeError("kernel launch failed")
        time.sleep(self._sleep_s)
        return expected_labels(frames)

    def close(self):
        pass


def in_threads(jobs):
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_every_lane_gets_its_own_labels(batch):
    shared = SharedBackend(BatchBackend(batch), 3)
    wrong: list[int] = []

    def ask(number: int) -> None:
        with shared.lane(number) as lane:
            assert lane.io.frame_shape == (1, *SIZE_HW, 3)
            for i in range(20):
                frame = random_frame(100 * number + i)[None]
                if not np.array_equal(lane.infer(frame), expected_labels(frame)):
                    wrong.append(number)

    in_threads([lambda n=n: ask(n) for n in range(3)])
    assert not wrong


def test_busy_lanes_get_equal_shares_however_fast_they_ask():
    shared = SharedBackend(BatchBackend(1, sleep_s=0.004), 3)
    counts, stop = [0, 0, 0], threading.Event()

    def ask(number: int, pause_s: float) -> None:
        with shared.lane(number) as lane:
            frame = random_frame(number)[None]
            while not stop.is_set():
                lane.infer(frame)
                counts[number] += 1
                # Still back before its turn comes again.
                time.sleep(pause_s)

    timer = threading.Timer(0.8, stop.set)
    timer.start()
    in_threads([lambda n=n, p=p: ask(n, p) for n, p in enumerate((0.0, 0.0, 0.002))])
    timer.join()
    assert min(counts) > 10
    assert max(counts) <= 1.15 * min(counts)


def test_a_batch_saves_calls():
    backend = BatchBackend(2, sleep_s=0.01)
    shared = SharedBackend(backend, 2)

    def ask(number: int) -> None:
        with shared.lane(number) as lane:
            for i in range(20):
                lane.infer(random_frame(i)[None])

    in_threads([lambda n=n: ask(n) for n in range(2)])
    assert backend.calls < 30


def test_a_failure_reaches_the_lanes_of_the_call_and_nobody_hangs():
    shared = SharedBackend(BatchBackend(2, sleep_s=0.005, fail_at=4), 2)
    errors: list[str] = []

    def ask(number: int) -> None:
        with shared.lane(number) as lane:
            try:
                for i in range(10):
                    lane.infer(random_frame(i)[None])
            except BackendError as error:
                errors.append(str(error))

    in_threads([lambda n=n: ask(n) for n in range(2)])
    assert 1 <= len(errors) <= 2
    assert "kernel launch failed" in errors[0]


def test_waiting_for_a_turn_is_no_inference(tmp_path):
    bundle = tiny_bundle(tmp_path / "tiny")
    shared = SharedBackend(ArgmaxBackend(sleep_s=0.02), 2)
    results = [None, None]

    def run(number: int) -> None:
        with shared.lane(number) as lane:
            options = LoopOptions(warmup=0)
            results[number] = Loop(lane, bundle, ListSource(15), [ListSink()], options).run()

    in_threads([lambda n=n: run(n) for n in range(2)])
    for result in results:
        assert result.error is None
        assert result.report.frames == 15
        assert result.report.accuracy.miou == 1.0
        stages = result.report.latency_ms
        # Two lanes: a turn comes after the other's 20 ms, which stands under wait.
        assert 20 <= stages["infer"].p50 < 34
        assert stages["wait"].p50 > 10
