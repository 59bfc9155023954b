"""Runs on machines that wander, with spikes and bursts of load, on a simulated clock.

tests/gate_power_run.py does the same with fifty baselines and a hundred runs, for the table of
docs/regression-tests.md.
"""

import gc

import pytest
from simulated import run, seeds
from tinybundle import tiny_bundle

from edgeseg.core.report import Report
from edgeseg.pytest_plugin import MOST_ROUNDS, ROUNDS
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


WILD = {"spikes": 0.01, "bursts": 2.0, "rounds": ROUNDS, "most_rounds": MOST_ROUNDS}


@pytest.fixture(scope="module")
def baselines(bundle) -> list[Report]:
    # One lucky baseline is no test: it judges all runs alike.
    return [run(bundle, seed, **WILD).rows[1] for seed in range(1000, 1004)]


def codes(bundle, baselines, **planted) -> list[int]:
    runs = [run(bundle, seed, **WILD, **planted).rows[1] for seed in seeds(6)]
    return [judge(each, baseline=before).exit_code for each in runs for before in baselines]


def test_unchanged_repeats_pass_whatever_the_machine_does(bundle, baselines):
    assert codes(bundle, baselines) == [0] * 24


def test_a_slowdown_of_1_3_is_caught_whichever_the_baseline(bundle, baselines):
    assert codes(bundle, baselines, slow=1.3) == [4] * 24


def test_a_loss_of_0_02_miou_is_caught_whatever_the_machine_does(bundle, baselines):
    report = run(bundle, 7, wrong=0.0101).rows[1]
    assert baselines[0].accuracy.miou - report.accuracy.miou == pytest.approx(0.02, abs=0.003)
    assert judge(report, baseline=baselines[0]).exit_code == 3


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
