import copy
import dataclasses
import itertools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.core.report import Accuracy, BundleId, Memory, Reference, Report
from edgeseg.core.stage_times import Percentiles, percentiles_ms
from edgeseg.errors import UsageError
from edgeseg.runtime.gate.baselines import read_rows
from edgeseg.runtime.gate.budget import Budget
from edgeseg.runtime.gate.judge import judge, judge_rows

share = st.floats(0, 1)
amount = st.floats(1e-6, 1e6)
reports = st.builds(
    lambda miou, fps, ms, peak: Report(
        BundleId("m", "0", "int8"), {}, "s", 10, 0, 0, fps,
        {"infer": Percentiles(ms, ms, ms)}, Memory("x", peak),
        accuracy=Accuracy(10, miou, miou, miou),
    ),
    share, amount, amount, st.integers(1, 10**12),
)  # fmt: skip
budgets = st.builds(
    Budget,
    min_miou=st.none() | share,
    min_fps=st.none() | amount,
    max_infer_p50_ms=st.none() | amount,
    max_peak_bytes=st.none() | st.integers(0, 10**12),
)


@given(reports, budgets, share, amount)
def test_tightening_a_budget_never_turns_a_failure_into_a_pass(report, budget, more, less):
    tighter = Budget(
        min_miou=None if budget.min_miou is None else budget.min_miou + more,
        min_fps=None if budget.min_fps is None else budget.min_fps + less,
        max_infer_p50_ms=None
        if budget.max_infer_p50_ms is None
        else budget.max_infer_p50_ms - less,
        max_peak_bytes=None if budget.max_peak_bytes is None else int(budget.max_peak_bytes - less),
    )
    if judge(report, budget=budget).verdict == "fail":
        assert judge(report, budget=tighter).verdict == "fail"


@given(reports)
def test_reports_survive_json(report):
    assert Report.from_json(report.to_json()) == report


@given(st.lists(st.integers(0, 10**12), min_size=1))
def test_percentiles_lie_in_order_within_the_series(durations):
    found = percentiles_ms(durations)
    values = [min(durations) / 1e6, found.p50, found.p90, found.p99, max(durations) / 1e6]
    assert all(a <= b * (1 + 1e-9) + 1e-9 for a, b in itertools.pairwise(values))


PLAIN = Report(
    BundleId("plain", "cd", "fp32"), {"cpu": "A", "cores": 2}, "val", 20, 0, 0, None,
    {"infer": Percentiles(20.0, 21.0, 22.0)}, Memory("PSS", 10_000_000),
    accuracy=Accuracy(20, 0.9, 0.8, 0.6, per_class_iou={"Road": 0.8, "Bus": 0.4}),
    backend={"runtime": "ort", "precision": "f32"}, run={"name": "plain", "rounds": 30},
    cost={"onnx_bytes": 1000, "int8_conv_share": 0.0},
    energy={"joules_per_frame": 0.2, "mean_w": 5.0, "method": "VDD_IN"},
)  # fmt: skip
INT8 = dataclasses.replace(
    PLAIN,
    bundle=BundleId("int8", "ab", "int8"),
    run={"name": "int8", "rounds": 30},
    intervals={"time_ratio_p90": (0.58, 0.62), "time_ratio_p99": (0.68, 0.72)},
    reference=Reference("plain", "cd", "ort", "f32", 0.5, 0.49, 0.51, 0.6, 0.7),
)
# Worse in every figure that the gate judges, each by far.
WORSE = dataclasses.replace(
    INT8,
    accuracy=Accuracy(20, 0.8, 0.6, 0.3, per_class_iou={"Road": 0.5, "Bus": 0.1}),
    memory=Memory("PSS", 90_000_000),
    cost={"onnx_bytes": 2000, "int8_conv_share": 0.0},
    energy={"joules_per_frame": 0.9, "mean_w": 5.0, "method": "VDD_IN"},
    intervals={"time_ratio_p90": (1.1, 1.3), "time_ratio_p99": (1.3, 1.5)},
    reference=Reference("plain", "cd", "ort", "f32", 1.0, 0.98, 1.02, 1.2, 1.4),
)
GOOD, BAD = ({"rows": [PLAIN.to_json(), row.to_json()]} for row in (INT8, WORSE))
FAR = Budget(min_miou=0.99, max_infer_p50_ms=0.001, max_peak_bytes=1, max_time_ratio=0.01)


def places(document: object, at: tuple = ()) -> list[tuple]:
    """Return the way to every value of a document."""
    inside = (
        document.items() if isinstance(document, dict)
        else enumerate(document) if isinstance(document, list) else ()
    )  # fmt: skip
    return [at, *(place for key, value in inside for place in places(value, (*at, key)))]


WRONG = (
    None, True, False, "", "0.95", [], {}, 0, -1, -0.5, 10**400, 1e308, float("nan"),
    float("inf"), -float("inf"),
)  # fmt: skip
damages = st.tuples(st.sampled_from(places(GOOD)[1:]), st.sampled_from(WRONG) | st.just("delete"))


def damaged(document: dict, place: tuple, value: object) -> dict:
    changed = copy.deepcopy(document)
    inside = changed
    for key in place[:-1]:
        inside = inside[key]
    if value == "delete":
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return changed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gate")


def rows_of(folder, document):
    path = folder / "document.json"
    path.write_text(json.dumps(document))
    return read_rows(path)


def passes(
    folder, report: dict, baseline: dict | None = None, budget: Budget | None = None
) -> bool:
    try:
        rows = rows_of(folder, report)
        before = None if baseline is None else rows_of(folder, baseline)
        return judge_rows(rows, baseline=before, budget=budget).exit_code == 0
    except UsageError:
        return False


# What fails a report by itself, and what only that figure tells.
SINGLE = {
    "accuracy": {"accuracy": WORSE.accuracy},
    "memory": {"memory": WORSE.memory},
    "cost": {"cost": WORSE.cost},
    "energy": {"energy": WORSE.energy},
    "reference": {"reference": WORSE.reference, "intervals": WORSE.intervals},
}
ONE_WORSE = {
    name: {"rows": [PLAIN.to_json(), dataclasses.replace(INT8, **fields).to_json()]}
    for name, fields in SINGLE.items()
}


def check_damage(folder, figure: str, place: tuple, value: object) -> None:
    """A report with one bad figure: no damage to report or baseline makes it pass."""
    report = ONE_WORSE[figure]
    for now, before in (
        (damaged(report, place, value), GOOD),
        (report, damaged(GOOD, place, value)),
    ):
        assert not passes(folder, now, before), (figure, place, value)


@settings(max_examples=15)
@given(damages)
def test_no_damage_makes_a_failing_report_pass(folder, damage):
    """The report is worse in all that is judged, so that whatever is damaged, the rest fails."""
    report = damaged(BAD, *damage)
    assert not passes(folder, report, GOOD)
    assert not passes(folder, report, budget=FAR)
    assert not passes(folder, BAD, damaged(GOOD, *damage))


@settings(max_examples=40)
@given(st.sampled_from(list(SINGLE)), damages)
def test_no_damage_to_the_one_figure_that_fails_makes_it_pass(folder, figure, damage):
    check_damage(folder, figure, *damage)


@pytest.mark.slow
@pytest.mark.parametrize("figure", list(SINGLE))
def test_no_damage_at_any_place_makes_it_pass(folder, figure):
    for place in places(GOOD)[1:]:
        for value in (*WRONG, "delete"):
            check_damage(folder, figure, place, value)


@settings(max_examples=20)
@given(st.lists(damages, min_size=2, max_size=4))
def test_a_document_however_damaged_ends_in_a_verdict_or_one_line(folder, several):
    document = GOOD
    for damage in several:
        try:
            document = damaged(document, *damage)
        except (KeyError, IndexError, TypeError):
            continue
    # Any other error would come through.
    for report, baseline in ((document, GOOD), (GOOD, document)):
        assert passes(folder, report, baseline) in (True, False)
