"""Fifty runs on a machine that wanders by 30 %, on a simulated clock."""

import gc

import pytest
from simulated import run, seeds
from tinybundle import tiny_bundle

from edgeseg.core.report import Report
from edgeseg.runtime.gate.judge import judge


@pytest.fixture(scope="module", autouse=True)
def nothing_older_is_collected():
    """A run collects garbage twice: half a second each, among all that a worker holds."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle(tmp_path_factory.mktemp("noise") / "b")


@pytest.fixture(scope="module")
def baseline(bundle) -> Report:
    return run(bundle, 0).rows[1]


def verdicts(bundle, baseline, **planted) -> list[tuple[str, int]]:
    found = [judge(run(bundle, s, **planted).rows[1], baseline=baseline) for s in seeds(50)]
    return [(verdict.verdict, verdict.exit_code) for verdict in found]


def test_an_unchanged_repeat_passes_fifty_times_in_fifty(bundle, baseline):
    assert verdicts(bundle, baseline) == [("pass", 0)] * 50


def test_a_slowdown_of_1_3_is_caught_fifty_times_in_fifty(bundle, baseline):
    assert verdicts(bundle, baseline, slow=1.3) == [("fail", 4)] * 50


def test_a_loss_of_accuracy_is_caught_whatever_the_machine_does(bundle, baseline):
    report = run(bundle, 7, wrong=0.02).rows[1]
    assert baseline.accuracy.miou - report.accuracy.miou == pytest.approx(0.04, abs=0.02)
    assert judge(report, baseline=baseline).exit_code == 3


def test_absolute_times_alone_would_raise_false_alarms(bundle):
    # Why the gate looks at the ratio to a row of the same run.
    medians = [run(bundle, seed).rows[1].latency_ms["infer"].p50 for seed in seeds(6)]
    assert max(medians) > 1.10 * min(medians)


def test_a_simulated_run_says_no_difference_between_equal_rows(bundle):
    from simulated import Frames, Machine, SimulatedBackend

    from edgeseg.runtime.bench.row import Entry
    from edgeseg.runtime.bench.run import BenchOptions, bench

    machine = Machine(3)
    entries = [
        Entry(name, bundle, "simulated", opener=lambda: SimulatedBackend(machine, 10.0))
        for name in "ab"
    ]
    result = bench(entries, Frames(), BenchOptions(rounds=20, clock=machine.clock))
    (ratio,) = result.ratios
    assert ratio.verdict == "no difference"
    assert ratio.low < 1 < ratio.high
    assert result.pareto == ("a", "b")
