import dataclasses
import json

import pytest
from simulated import BACKEND, MACHINE
from simulated import PLAIN as BASE

from edgeseg.core.report import Accuracy, Memory, Reference, Report
from edgeseg.core.stage_times import Percentiles
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
    ],
)
def test_a_budget_is_held_to_the_digit(budget, verdict, exit_code):
    found = judge(BASE, budget=budget)
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


def test_end_to_end_is_compared_for_cameras_only():
    live = changed(run={"live": True})
    slow = {**BASE.latency_ms, "end_to_end": Percentiles(20.0, 22.0, 32.0)}
    assert judge(changed(run={"live": True}, latency_ms=slow), baseline=live).exit_code == 4
    assert judge(changed(latency_ms=slow), baseline=BASE).verdict == "pass"


@pytest.mark.parametrize(
    ("report", "exit_code"),
    [
        (changed(accuracy=Accuracy(90, 0.9, 0.7, 0.614)), 3),
        (changed(latency_ms={**BASE.latency_ms, "infer": Percentiles(11.1, 11.2, 12.0)}), 4),
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
    assert judge_rows({"plain": now["plain"]}, baseline={"plain": BASE}).exit_code == 4
    slower = dataclasses.replace(timed, time_ratio=0.8, low=0.78, high=0.82)
    now["int8"] = changed(reference=slower)
    assert judge_rows(now, baseline=before).exit_code == 4


def times_by(times: Percentiles, factor: float) -> Percentiles:
    return Percentiles(*(value * factor for value in dataclasses.astuple(times)))


def test_another_source_or_way_of_running_leaves_its_figures_unjudged():
    other = {c.name: c.ok for c in judge(changed(source="folder"), baseline=BASE).checks}
    assert other["infer_p50_ms_against_baseline"] is True
    assert other["peak_bytes_against_baseline"] is None
    held = judge(changed(run={**BASE.run, "held_to_ms": 30}), baseline=BASE)
    assert {c.name: c.ok for c in held.checks}["infer_p50_ms_against_baseline"] is None


def test_a_budget_asks_no_row_for_what_it_cannot_have():
    timed = Reference("plain", "cd" * 32, "onnxruntime 1", "f32", 0.5, 0.48, 0.52, 0.6, 0.7)
    rows = {"plain": BASE, "int8": changed(reference=timed)}
    assert judge_rows(rows, budget=Budget(max_time_ratio=0.6)).verdict == "pass"
    assert judge_rows(rows, budget=Budget(max_time_ratio=0.4)).exit_code == 4
    bench = changed(fps=None, run={"name": "int8", "rounds": 30})
    (check,) = judge(bench, budget=Budget(min_fps=30.0)).checks
    assert (check.ok, "a bench has no rate" in check.why) == (None, True)
