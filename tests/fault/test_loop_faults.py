"""What breaks while streaming: each ends in time, with a report, an error and no thread left."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from stand_ins import ArgmaxBackend, ListSink, ListSource, TickingCamera
from tinybundle import tiny_bundle

from edgeseg.errors import BackendError, DataError, SourceError
from edgeseg.runtime.streaming import loop as loop_module
from edgeseg.runtime.streaming.loop import Loop, LoopOptions

WARM = 3


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("bundle") / "tiny")


@pytest.fixture(autouse=True)
def quick_and_clean(monkeypatch):
    # A thread that does not end by itself would now hold its test up for a minute.
    monkeypatch.setattr(loop_module, "JOIN_S", 60.0)
    before, start = threading.active_count(), time.perf_counter()
    yield
    assert threading.active_count() == before
    assert time.perf_counter() - start < loop_module.JOIN_S


@pytest.mark.parametrize("live", [False, True])
def test_a_backend_that_fails_leaves_the_report_so_far(bundle, live):
    backend = ArgmaxBackend(fail_at=WARM + 6)
    source = TickingCamera(0.002) if live else ListSource(50)
    with source:
        result = Loop(backend, bundle, source).run()
    assert isinstance(result.error, BackendError)
    assert "kernel launch failed" in str(result.error)
    assert result.report.frames == 6
    assert result.report.run["ended_by"] == "error"
    assert result.report.run["error"] == str(result.error)


def test_a_backend_that_fails_while_warming_up_is_reported_too(bundle):
    error = BackendError("out of memory; close other programs")
    result = Loop(ArgmaxBackend(fail_at=1, error=error), bundle, ListSource(5)).run()
    assert result.error is error
    assert result.report.frames == 0
    assert result.report.fps is None
    assert result.report.latency_ms == {}


def test_a_sink_that_fails_does_not_stop_the_loop(bundle):
    full, other = ListSink(fail_at=2), ListSink()
    full.uri = "full.mp4"
    result = Loop(ArgmaxBackend(), bundle, ListSource(10), [full, other]).run()
    assert result.error is None
    assert len(full.taken) == 2
    assert len(other.taken) == 10
    assert list(result.report.run["sink_errors"]) == ["full.mp4"]
    assert "No space left" in result.report.run["sink_errors"]["full.mp4"]


@pytest.mark.parametrize("live", [False, True])
def test_a_source_that_fails_leaves_the_report_so_far(bundle, live):
    source = TickingCamera(0.002, frames=5, then="raise") if live else ListSource(5, then="raise")
    with source:
        result = Loop(ArgmaxBackend(), bundle, source).run()
    assert isinstance(result.error, SourceError)
    assert "unplugged" in str(result.error) or "cable pulled" in str(result.error)
    assert 4 <= result.report.frames <= 5


def test_a_live_source_that_stalls_is_an_error_after_the_limit(bundle):
    with TickingCamera(0.02, frames=3, then="stall") as camera:
        result = Loop(ArgmaxBackend(), bundle, camera, options=LoopOptions(stall_s=0.3)).run()
    assert isinstance(result.error, SourceError)
    assert "no frame for 0.3 s" in str(result.error)
    assert result.report.frames >= 2


@pytest.mark.parametrize("then", ["stall", "end"])
@pytest.mark.parametrize("live", [False, True])
def test_stop_ends_with_the_report(bundle, live, then):
    source = (
        TickingCamera(0.01, frames=10 if then == "stall" else 100_000, then=then)
        if live
        else ListSource(10 if then == "stall" else 100_000, then=then, sleep_s=0.002)
    )
    stop = threading.Event()
    timer = threading.Timer(0.3, stop.set)
    timer.start()
    with source:
        result = Loop(ArgmaxBackend(), bundle, source, [ListSink()]).run(stop=stop)
    timer.join()
    assert result.error is None
    assert result.report.run["ended_by"] == "stop"
    assert result.report.frames > 3


def test_a_stopped_run_scores_what_it_finished(bundle):
    stop = threading.Event()
    sink = ListSink()

    def count(done):
        if done == 5:
            stop.set()

    result = Loop(ArgmaxBackend(), bundle, ListSource(1000), [sink]).run(stop=stop, progress=count)
    assert result.report.accuracy.n == result.report.frames == len(sink.taken) >= 5


def test_truth_that_does_not_fit_ends_the_run_with_its_name(bundle):
    source = ListSource(5)
    read = source.read

    def broken(timeout_s):
        found = read(timeout_s)
        if getattr(found, "index", 0) == 3:
            found.truth[:] = 9
        return found

    source.read = broken
    result = Loop(ArgmaxBackend(), bundle, source).run()
    assert isinstance(result.error, DataError)
    assert "unknown labels [9]" in str(result.error)
    assert result.report.accuracy.n == 3


def test_a_frame_the_model_refuses_ends_the_run(bundle, tmp_path):
    import dataclasses

    spec = dataclasses.replace(
        bundle.spec, preprocess=dataclasses.replace(bundle.spec.preprocess, resize="exact")
    )
    strict = dataclasses.replace(bundle, spec=spec)
    result = Loop(ArgmaxBackend(), strict, ListSource(5, size_hw=(32, 40))).run()
    assert isinstance(result.error, DataError)
    assert "32x40" in str(result.error)


PROGRAM = """
import signal, sys, threading
sys.path.insert(0, {tests!r})
from pathlib import Path
from stand_ins import ArgmaxBackend, ListSink, ListSource, TickingCamera
from tinybundle import tiny_bundle
from edgeseg.runtime.streaming.loop import Loop
from edgeseg.runtime.telemetry import Telemetry
stop = threading.Event()
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: stop.set())
bundle = tiny_bundle(Path({folder!r}) / "tiny")
with Telemetry() as telemetry, TickingCamera(0.01) as source:
    loop = Loop(ArgmaxBackend(sleep_s=0.02), bundle, source, [ListSink()])
    started = lambda done: print("running", flush=True) if done == 1 else None
    result = loop.run(stop=stop, progress=started, measure=telemetry.measure)
assert threading.active_count() == 1, threading.enumerate()
print(result.report.run["ended_by"], result.report.frames > 0, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_program(tmp_path, number):
    program = PROGRAM.format(tests=str(Path(__file__).parents[1]), folder=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        assert process.stdout.readline() == "stop True\n"
        assert process.wait(30.0) == 0
