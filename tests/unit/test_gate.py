import dataclasses
import json

import pytest
from simulated import BACKEND, MACHINE
from simulated import PLAIN as BASE

from edgeseg.core.budget import Budget
from edgeseg.core.report import Accuracy, Memory, Report
from edgeseg.core.stagetimes import Percentiles
from edgeseg.target.gate import Tolerance, judge


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
