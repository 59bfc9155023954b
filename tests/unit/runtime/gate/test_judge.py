import dataclasses
import json

import pytest
from simulated import BACKEND, MACHINE
from simulated import PLAIN as BASE

from edgeseg.core.report import Accuracy, Memory, Reference, Report
from edgeseg.core.stage_times import Percentiles
from edgeseg.errors import UsageError
from edgeseg.runtime.gate.budget import Budget
from edgeseg.runtime.gate.judge import Tolerance, judge, judge_rows


def changed(**fields) -> Report:
    return dataclasses.replace(BASE, **fields)


@pytest.mark.parametrize(
    ("budget", "verdict", "exit_code"),
    [
        (Budget(min_miou=0.62), "pass", 0),
        (Budget(min_miou=0.63), "fail", 3),
        (Budget(min_fps=30.0, max_infer_p50_ms=10.0), "pass", 0),
        (Budget(min_fps=30.1), "fail", 4),
        (Budget(max_infer_p50_ms=9.9), "fail", 4),
        (Budget(max_end_to_end_p99_ms=24.9), "fail", 4),
        (Budget(max_frame_age_p90_ms=29.9), "fail", 4),
        (Budget(max_peak_bytes=99_999_999), "fail", 4),
        (Budget(max_dropped_ratio=0.1), "pass", 0),
        (Budget(max_dropped_ratio=0.09), "fail", 4),
        (Budget(min_miou=0.9, min_fps=99.0), "fail", 3),
        # Its interval is 9 to 11 ms.
        (Budget(max_infer_p50_ms=9.9, max_peak_bytes=10**9), "fail", 4),
        (Budget(max_infer_p50_ms=10.5), "pass", 0),
        (Budget(max_infer_p50_ms=10.5, strict=True), "fail", 4),
        (Budget(max_infer_p50_ms=11.0, strict=True), "pass", 0),
        (Budget(max_infer_p99_ms=99.0, strict=True), "fail", 4),
    ],
)
def test_a_budget_is_held_to_the_digit(budget, verdict, exit_code):
    found = judge(changed(intervals={"infer_p50_ms": (9.0, 11.0)}), budget=budget)
    assert (found.verdict, found.exit_code) == (verdict, exit_code)


def test_a_figure_the_report_lacks_fails_and_says_so():
    found = judge(changed(accuracy=None), budget=Budget(min_miou=0.1))
    assert found.verdict == "fail"
    assert "has no miou" in found.checks[0].why


def test_the_same_report_passes_against_itself():
    found = judge(BASE, baseline=BASE)
    assert found.verdict == "pass"
    assert {c.name for c in found.checks} == {
        "miou_against_baseline",
        "infer_p50_ms_against_baseline",
        "infer_p90_ms_against_baseline",
        "infer_p99_ms_against_baseline",
        "peak_bytes_against_baseline",
    }


def test_a_streams_times_are_judged_by_several_runs_only():
    """How far a machine wanders from run to run is in no single run: it cannot fail by one."""
    slow = changed(latency_ms=times_of(13.0))
    once = judge(slow, baseline=BASE)
    assert (once.verdict, once.exit_code) == ("pass", 0)
    unmade = [check.name for check in once.checks if check.ok is None]
    assert unmade == [f"infer_p{n}_ms_against_baseline" for n in (50, 90, 99)]
    assert "give 20 baselines, of which 1 compare" in once.checks[1].why
    # Runs that lie from 9.8 to 10.2 ms: 1.1 times their mean and spread is 11.6 ms.
    runs = [changed(latency_ms=times_of(9.8 + 0.02 * n)) for n in range(19)]
    assert judge(slow, baseline=BASE, repeats=runs).exit_code == 4
    assert judge(changed(latency_ms=times_of(10.9)), baseline=BASE, repeats=runs).exit_code == 0
    # Those of another machine say nothing of this one.
    elsewhere = [dataclasses.replace(run, machine={**MACHINE, "cpu": "B"}) for run in runs]
    assert judge(slow, baseline=BASE, repeats=elsewhere).exit_code == 0
    # Runs from 5 to 50 ms: nothing can be told.
    wild = [changed(latency_ms=times_of(5.0 * (1 + n))) for n in range(19)]
    found = judge(changed(latency_ms=times_of(110.0)), baseline=BASE, repeats=wild)
    assert found.exit_code == 0
    assert "too far apart" in found.checks[1].why


def times_of(ms: float) -> dict[str, Percentiles]:
    return {**BASE.latency_ms, "infer": Percentiles(ms, 1.1 * ms, 1.2 * ms)}


def test_end_to_end_is_compared_for_cameras_only():
    live = changed(run={"live": True})
    names = {check.name for check in judge(live, baseline=live).checks}
    assert "end_to_end_p99_ms_against_baseline" in names
    names = {check.name for check in judge(BASE, baseline=BASE).checks}
    assert "end_to_end_p99_ms_against_baseline" not in names


@pytest.mark.parametrize(
    ("report", "exit_code"),
    [
        (changed(accuracy=Accuracy(90, 0.9, 0.7, 0.614)), 3),
        (changed(memory=Memory("VmHWM", 119_000_000)), 4),
    ],
)
def test_a_regression_fails(report, exit_code):
    assert judge(report, baseline=BASE).exit_code == exit_code


def test_within_the_tolerance_is_a_pass():
    report = changed(
        accuracy=Accuracy(90, 0.9, 0.7, 0.616),
        latency_ms={**BASE.latency_ms, "infer": Percentiles(10.9, 11.2, 12.9)},
    )
    assert judge(report, baseline=BASE).verdict == "pass"
    strict = Tolerance(miou_drop=0.001, latency_ratio=1.0)
    assert judge(report, baseline=BASE, tolerance=strict).exit_code == 3


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"machine": {**MACHINE, "cpu": "B"}}, "cpu is 'B'"),
        ({"backend": {**BACKEND, "threads": 2}}, "threads is 2"),
        ({"memory": Memory("MemAvailable", 1)}, "memory is measured as"),
    ],
)
def test_another_machine_is_not_comparable_neither_pass_nor_fail(fields, word):
    found = judge(changed(**fields), baseline=BASE)
    assert found.verdict == "not_comparable"
    assert found.exit_code == 1
    assert any(c.ok is None and word in c.why for c in found.checks)
    assert [c.ok for c in found.checks if c.kind == "accuracy"] == [True]


def test_another_source_makes_accuracy_not_comparable():
    found = judge(changed(source="other"), baseline=BASE)
    assert found.verdict == "not_comparable"


def test_a_failure_outweighs_what_cannot_be_compared():
    worse = changed(machine={}, accuracy=Accuracy(90, 0.9, 0.7, 0.5))
    assert judge(worse, baseline=BASE).exit_code == 3


def test_nothing_to_judge_by_is_no_pass():
    assert judge(BASE).verdict == "not_comparable"


def test_the_document_is_plain_json():
    document = json.loads(json.dumps(judge(BASE, budget=Budget(min_miou=0.7)).to_json()))
    assert document["verdict"] == "fail"
    assert set(document["checks"][0]) >= {"name", "value", "limit", "ok", "why"}


def test_a_class_that_is_no_longer_seen_where_there_is_none_is_no_loss():
    """Its IoU was 0 as long as the network saw it somewhere; now there is nothing to divide."""
    before = changed(accuracy=Accuracy(20, 0.9, 0.8, 0.4, per_class_iou={"Road": 0.9, "Bus": 0.0}))
    now = changed(accuracy=Accuracy(20, 0.9, 0.8, 0.8, per_class_iou={"Road": 0.9, "Bus": None}))
    found = judge(now, baseline=before)
    assert found.verdict == "pass"
    assert "neither in the truth nor predicted" in " ".join(check.why for check in found.checks)
    lost = changed(accuracy=Accuracy(20, 0.9, 0.8, 0.8, per_class_iou={"Road": 0.9}))
    assert judge(lost, baseline=before).exit_code == 3


def test_a_machine_that_is_slower_as_a_whole_fails_no_row_of_a_bench():
    """The reference's own time says how busy the machine is; only ratios to it are judged."""
    timed = Reference("plain", "cd" * 32, "onnxruntime 1", "f32", 0.5, 0.48, 0.52, 0.6, 0.7)
    before = {"plain": BASE, "int8": changed(reference=timed)}
    slow = {stage: times_by(times, 1.6) for stage, times in BASE.latency_ms.items()}
    now = {
        "plain": changed(latency_ms=slow),
        "int8": changed(latency_ms=slow, reference=timed),
    }
    assert judge_rows(now, baseline=before).verdict == "pass"
    slower = dataclasses.replace(timed, time_ratio=0.8, low=0.78, high=0.82)
    now["int8"] = changed(reference=slower)
    assert judge_rows(now, baseline=before).exit_code == 4


def times_by(times: Percentiles, factor: float) -> Percentiles:
    return Percentiles(*(value * factor for value in dataclasses.astuple(times)))


def test_another_source_or_way_of_running_leaves_its_figures_unjudged():
    other = {c.name: c.ok for c in judge(changed(source="folder"), baseline=BASE).checks}
    assert other["peak_bytes_against_baseline"] is None
    assert other["miou_against_baseline"] is None
    held = judge(changed(run={**BASE.run, "held_to_ms": 30}), baseline=BASE)
    assert held.verdict == "not_comparable"
    assert "held_to_ms is 30" in held.reasons()


def test_a_budget_asks_no_row_for_what_it_cannot_have():
    timed = Reference("plain", "cd" * 32, "onnxruntime 1", "f32", 0.5, 0.48, 0.52, 0.6, 0.7)
    rows = {"plain": BASE, "int8": changed(reference=timed)}
    assert judge_rows(rows, budget=Budget(max_time_ratio=0.6)).verdict == "pass"
    assert judge_rows(rows, budget=Budget(max_time_ratio=0.4)).exit_code == 4
    bench = changed(fps=None, run={"name": "int8", "rounds": 30})
    (check,) = judge(bench, budget=Budget(min_fps=30.0)).checks
    assert (check.ok, "a bench has no rate" in check.why) == (None, True)


RATIO = Reference("plain", "cd" * 32, "onnxruntime 1", "f32", 0.5, 0.48, 0.52, 0.6, 0.7)


@pytest.mark.parametrize(
    ("now", "exit_code", "word"),
    [
        ((0.54, 0.52, 0.56), 0, "interval"),
        # Beyond 0.55, and the interval holds it: narrow enough for chance, then too wide to tell.
        ((0.56, 0.55, 0.57), 0, "interval"),
        ((0.56, 0.40, 0.80), 1, "too noisy to tell"),
        ((0.52, 0.40, 0.80), 1, "too noisy to tell"),
        ((0.65, 0.62, 0.68), 4, "interval"),
        ((0.65, 1e-9, 1e9), 1, "too noisy to tell"),
    ],
)
def test_an_interval_too_wide_to_tell_is_no_pass(now, exit_code, word):
    before = changed(reference=RATIO)
    value, low, high = now
    found = changed(reference=dataclasses.replace(RATIO, time_ratio=value, low=low, high=high))
    verdict = judge(found, baseline=before)
    assert verdict.exit_code == exit_code
    assert word in next(c.why for c in verdict.checks if c.name == "time_ratio_against_baseline")


def test_a_noisy_tail_alone_neither_fails_nor_keeps_from_passing():
    before = changed(reference=RATIO, intervals={"time_ratio_p99": (0.5, 1.4)})
    now = dataclasses.replace(before, reference=dataclasses.replace(RATIO, p99=1.0))
    found = judge(now, baseline=before)
    assert found.exit_code == 0
    assert {c.name: c.ok for c in found.checks}["time_ratio_p99_against_baseline"] is None
    assert found.summary() == "pass: 5 checks, 1 not comparable"
    absurd = dataclasses.replace(now, intervals={"time_ratio_p99": (1e-6, 1e9)})
    assert judge(absurd, baseline=before).exit_code == 1


@pytest.mark.parametrize(
    "fields", [{"accuracy": None}, {"memory": None}, {"cost": {}}, {"reference": None}]
)
def test_what_the_report_lacks_fails_and_what_the_baseline_lacks_is_no_pass(fields):
    whole = changed(cost={"onnx_bytes": 10}, reference=RATIO)
    lacking = dataclasses.replace(whole, **fields)
    assert judge(lacking, baseline=whole).exit_code != 0
    found = judge(whole, baseline=lacking)
    assert found.exit_code == 1
    assert "the baseline has no" in found.reasons()


def test_a_run_that_measured_nothing_fails_and_is_no_baseline():
    nothing = changed(frames=0, dropped=0)
    assert judge(nothing, budget=Budget(min_miou=0.1)).verdict == "fail"
    broken = changed(run={"error": "the cable"})
    assert "the cable" in judge(broken, budget=Budget(min_miou=0.1)).reasons()
    for each in (nothing, broken):
        with pytest.raises(UsageError, match="the baseline is none"):
            judge(BASE, baseline=each)


def test_fewer_frames_of_the_same_source_are_another_score():
    fewer = changed(accuracy=Accuracy(1, 0.9, 0.7, 0.62), frames=1)
    found = judge(fewer, baseline=BASE)
    assert found.exit_code == 1
    assert "1 frames were scored, the baseline's are 90" in found.reasons()


ENERGY = {"joules_per_frame": 0.5, "mean_w": 10.0, "method": "VDD_IN (module sensors)"}


@pytest.mark.parametrize(
    ("fields", "exit_code"),
    [
        ({}, 0),
        ({"energy": {**ENERGY, "joules_per_frame": 0.54}}, 0),
        ({"energy": {**ENERGY, "joules_per_frame": 1.0}}, 4),
        ({"energy": {**ENERGY, "joules_per_frame": 0.1, "method": "RAPL"}}, 1),
        ({"machine": {**MACHINE, "power_mode": 2}}, 1),
        ({"energy": None}, 4),
        # Twice the time: that is judged by itself.
        ({"energy": {**ENERGY, "joules_per_frame": 1.0}, "latency_ms": times_of(20.0)}, 0),
    ],
)
def test_energy_is_judged_like_with_like(fields, exit_code):
    assert (
        judge(changed(**{"energy": ENERGY, **fields}), baseline=changed(energy=ENERGY)).exit_code
        == exit_code
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_a_tolerance_that_lets_all_pass_is_none(value):
    with pytest.raises(UsageError, match="miou_drop is"):
        Tolerance(miou_drop=value)
