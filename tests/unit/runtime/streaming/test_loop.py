import threading
import time

import numpy as np
import pytest
from stand_ins import ArgmaxBackend, ListSink, ListSource, TickingCamera
from tinybundle import SIZE_HW, expected_labels, random_frame, tiny_bundle

from edgeseg.core.report import Memory, Report
from edgeseg.runtime.sources.base import Frame, State
from edgeseg.runtime.sources.replay import PacedSource
from edgeseg.runtime.streaming import loop as loop_module
from edgeseg.runtime.streaming.loop import NOT_MEASURED, Loop, LoopOptions
from edgeseg.runtime.streaming.streaming_score import StreamingScorer
from edgeseg.runtime.telemetry import Measurement

pytestmark = pytest.mark.usefixtures("no_thread_left")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


def test_files_are_lossless_in_order_and_right(bundle):
    sink = ListSink()
    result = Loop(ArgmaxBackend(), bundle, ListSource(25), [sink]).run()
    assert result.error is None
    assert [p.frame.index for p in sink.taken] == list(range(25))
    for p in sink.taken:
        assert np.array_equal(p.labels, expected_labels(random_frame(p.frame.index)))
    report = result.report
    assert (report.frames, report.dropped, report.run["ended_by"]) == (25, 0, "end")
    assert report.accuracy.n == 25
    assert report.accuracy.miou == 1.0
    assert report.accuracy.streaming_miou is None
    assert report.frame_age_ms is None
    assert Report.from_json(report.to_json()) == report


def test_frames_of_another_size_are_fitted_and_scored_at_their_own(bundle):
    sink = ListSink()
    size_hw = (2 * SIZE_HW[0], 2 * SIZE_HW[1] + 32)
    result = Loop(ArgmaxBackend(), bundle, ListSource(3, size_hw=size_hw), [sink]).run()
    assert sink.taken[0].labels.shape == size_hw
    assert result.report.accuracy.n == 3
    # Halving a picture of noise mixes its colours: right only by luck.
    assert 0.2 < result.report.accuracy.miou < 0.9


def test_memory_the_runtime_knows_of_joins_what_was_measured(bundle):
    backend = ArgmaxBackend()
    backend.memory = {"engine_device_bytes": 4096}
    measured = Measurement({}, Memory("PSS", 10, {"pss_bytes": 9}), None, None)
    report = Loop(backend, bundle, ListSource(2)).run(measure=lambda: measured).report
    assert report.to_json()["memory"] == {
        "method": "PSS", "peak_bytes": 10, "pss_bytes": 9, "engine_device_bytes": 4096,
    }  # fmt: skip
    # Unmeasured memory stays unavailable: an engine's size is not what a run took.
    unmeasured = Loop(backend, bundle, ListSource(2)).run().report
    assert unmeasured.memory is None


def test_the_warm_up_is_no_frame_and_is_said(bundle):
    backend = ArgmaxBackend()
    result = Loop(backend, bundle, ListSource(4), options=LoopOptions(warmup=5)).run()
    assert backend.calls == 9
    assert result.report.frames == 4
    assert result.report.run["warmup_runs"] == 5


def test_the_beginning_is_told_after_the_warm_up_and_before_the_first_frame(bundle):
    backend, calls = ArgmaxBackend(), []
    loop = Loop(backend, bundle, ListSource(4), options=LoopOptions(warmup=5))
    loop.run(begin=lambda: calls.append(backend.calls))
    assert calls == [5]


def test_end_to_end_of_files_is_the_sum_of_the_stages_without_the_queue(bundle):
    source = ListSource(12, sleep_s=0.004)
    backend = ArgmaxBackend(sleep_s=0.006)
    sink = ListSink(sleep_s=0.002)
    report = Loop(backend, bundle, source, [sink]).run().report
    stages = report.latency_ms
    assert set(stages) == {"capture", "preprocess", "infer", "sink", "wait", "end_to_end"}
    assert stages["capture"].p50 >= 4
    assert stages["infer"].p50 >= 6
    assert stages["sink"].p50 >= 2
    one_by_one = sum(stages[name].p50 for name in ("capture", "preprocess", "infer", "sink"))
    # A file is read ahead; how long its frames then queue says nothing of the network.
    assert stages["wait"].p50 > 0
    assert stages["end_to_end"].p50 == pytest.approx(one_by_one, rel=0.3)
    # Stages overlap, so the slowest sets the rate: 1/6 ms, not 1/12 ms.
    assert report.fps > 1.2 * 1000 / one_by_one
    assert report.fps < 1000 / 6 * 1.1


def test_a_live_source_gives_the_newest_frame_and_counts_the_rest(bundle):
    sink = ListSink()
    camera = TickingCamera(0.001, frames=200)
    with camera:
        result = Loop(ArgmaxBackend(sleep_s=0.02), bundle, camera, [sink]).run()
    indices = [p.frame.index for p in sink.taken]
    report = result.report
    assert indices == sorted(set(indices))
    assert report.dropped > 20
    assert report.frames + report.dropped == 200
    assert sum(p.frame.dropped_before for p in sink.taken) == report.dropped
    # One frame time of the camera, one inference, and scheduling: never a queue of old frames.
    infer = report.latency_ms["infer"].p50
    assert infer <= report.frame_age_ms.p50 < 3 * infer
    assert report.run["live"] is True
    assert camera.released


def test_what_a_camera_does_after_the_run_is_not_counted(bundle):
    sink = ListSink()

    def measure():
        # A camera runs until it is closed, which is after the report.
        time.sleep(0.4)
        camera.reconnects, camera.refused, camera.state = 3, 4, State.LOST
        return NOT_MEASURED

    with TickingCamera(0.005) as camera:
        camera.state = State.LIVE
        options = LoopOptions(max_frames=8)
        result = Loop(ArgmaxBackend(sleep_s=0.01), bundle, camera, [sink], options).run(
            measure=measure
        )
    # The last inference overwrites some that no later frame tells of; 0.4 s would be 80.
    told = sum(p.frame.dropped_before for p in sink.taken)
    assert told <= result.report.dropped < told + 20
    assert result.report.reconnects == 0
    assert result.report.connection == {"state": "live", "refused": 0, "events": []}


@pytest.mark.parametrize(
    ("options", "ended_by"),
    [
        (LoopOptions(max_frames=7), "frames"),
        (LoopOptions(max_seconds=0.1), "duration"),
    ],
)
def test_limits_end_a_run(bundle, options, ended_by):
    with TickingCamera(0.005) as camera:
        report = Loop(ArgmaxBackend(), bundle, camera, options=options).run().report
    assert report.run["ended_by"] == ended_by
    if options.max_frames:
        assert report.frames == options.max_frames
    else:
        assert 2 < report.frames < 40
    assert report.run["error"] is None


class StuckSink(ListSink):
    """Never comes back from its second frame, as a pipe that nobody reads any more."""

    def __init__(self) -> None:
        super().__init__()
        self.uri = "jsonl://pipe"
        self.freed = threading.Event()

    def write(self, prediction):
        if self.taken:
            self.freed.wait(20)
        super().write(prediction)


@pytest.mark.parametrize(
    ("options", "ended_by"), [(LoopOptions(), "stop"), (LoopOptions(max_seconds=0.5), "duration")]
)
def test_a_sink_that_never_returns_is_named_and_left_behind(bundle, monkeypatch, options, ended_by):
    monkeypatch.setattr(loop_module, "JOIN_S", 0.3)
    stop, sink, results = threading.Event(), StuckSink(), []
    loop = Loop(ArgmaxBackend(), bundle, ListSource(100), [ListSink(), sink], options)
    runner = threading.Thread(target=lambda: results.append(loop.run(stop=stop)), daemon=True)
    runner.start()
    time.sleep(0.3)
    if ended_by == "stop":
        stop.set()
    runner.join(5)
    ended = not runner.is_alive()
    left = [thread for thread in threading.enumerate() if thread.name == "edgeseg-loop"]
    sink.freed.set()
    for thread in (runner, *left):
        thread.join(5)
    assert ended
    run = results[0].report.run
    assert run["ended_by"] == ended_by
    assert list(run["sink_errors"]) == ["jsonl://pipe"]
    assert "still busy with a frame 0.3 s after the run ended" in run["sink_errors"]["jsonl://pipe"]
    # Held by the sink alone, and no reason for the interpreter to stay.
    assert [thread.daemon for thread in left] == [True]


def test_progress_counts_up(bundle):
    seen = []
    Loop(ArgmaxBackend(), bundle, ListSource(5)).run(progress=seen.append)
    assert seen == [1, 2, 3, 4, 5]


def test_predictions_keep_their_labels_though_the_backend_reuses_its_buffer(bundle):
    sink = ListSink()
    Loop(ArgmaxBackend(), bundle, ListSource(3), [sink]).run()
    assert not np.array_equal(sink.taken[0].labels, sink.taken[1].labels)
    assert not np.shares_memory(sink.taken[0].labels, sink.taken[1].labels)


def test_boundary_f1_is_measured_when_asked_for(bundle):
    report = (
        Loop(ArgmaxBackend(), bundle, ListSource(2), options=LoopOptions(boundary=True))
        .run()
        .report
    )
    assert report.accuracy.bf == 1.0


def test_an_unlabelled_source_has_no_accuracy(bundle):
    report = Loop(ArgmaxBackend(), bundle, ListSource(2, labelled=False)).run().report
    assert report.accuracy is None


def paced_miou(bundle, sleep_s: float) -> tuple[float, int, float]:
    inner = ListSource(24)
    with PacedSource(inner, 50.0, time.perf_counter_ns) as source:
        report = Loop(ArgmaxBackend(sleep_s=sleep_s), bundle, source).run().report
    return report.accuracy.streaming_miou, report.dropped, report.accuracy.miou


def test_streaming_miou_makes_late_labels_pay(bundle):
    streaming, dropped, miou = paced_miou(bundle, 0.0)
    # None on an idle machine.
    assert dropped < 12
    assert miou == 1.0
    # Every frame is noise of its own: the labels of the frame before are right by luck alone,
    # 1/3 of the pixels, an IoU of 1/5.
    assert streaming == pytest.approx(0.2, abs=0.02)


class ChangingOnce(ListSource):
    """The same picture all the time, but for one change in the middle."""

    def read(self, timeout_s):
        found = super().read(timeout_s)
        if hasattr(found, "rgb"):
            rgb = random_frame(found.index // 12)
            return type(found)(rgb, found.index, found.captured_ns, 0, expected_labels(rgb))
        return found


def test_a_camera_that_goes_on_after_the_scores_starts_no_thread():
    rgb = random_frame()
    frame = Frame(rgb, 0, 0, truth=expected_labels(rgb))
    scorer = StreamingScorer(3, 255)
    scorer.ready(expected_labels(rgb))
    scorer.arrived(frame)
    assert scorer.miou() == 1.0
    # Such a thread would never end, and neither would the program; see no_thread_left.
    scorer.arrived(frame)
    assert scorer.n == 1


class SwitchedScene(ListSource):
    """The same picture until `switched`, then another one."""

    switched = False

    def read(self, timeout_s):
        found = super().read(timeout_s)
        if isinstance(found, Frame):
            rgb = random_frame(int(self.switched))
            return Frame(rgb, found.index, found.captured_ns, 0, expected_labels(rgb))
        return found


def test_streaming_miou_leaves_out_what_arrives_after_the_run(bundle):
    scene = SwitchedScene(1000)

    def measure():
        scene.switched = True
        time.sleep(0.3)
        return NOT_MEASURED

    with PacedSource(scene, 100.0, time.perf_counter_ns) as source:
        loop = Loop(ArgmaxBackend(), bundle, source, options=LoopOptions(max_frames=5))
        report = loop.run(measure=measure).report
    assert report.accuracy.streaming_miou == 1.0


def test_streaming_miou_falls_with_delay(bundle):
    scores = []
    for sleep_s in (0.0, 0.3):
        frames = ChangingOnce(24)
        with PacedSource(frames, 20.0, time.perf_counter_ns) as source:
            report = Loop(ArgmaxBackend(sleep_s=sleep_s), bundle, source).run().report
        assert report.accuracy.miou == 1.0
        scores.append(report.accuracy.streaming_miou)
    assert scores[1] < scores[0] - 0.1
