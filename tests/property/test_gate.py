import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgeseg.core.report import Accuracy, BundleId, Memory, Report
from edgeseg.core.stage_times import Percentiles, percentiles_ms
from edgeseg.runtime.gate.budget import Budget
from edgeseg.runtime.gate.judge import judge

share = st.floats(0, 1)
amount = st.floats(0, 1e6)
reports = st.builds(
    lambda miou, fps, ms, peak: Report(
        BundleId("m", "0", "int8"), {}, "s", 10, 0, 0, fps,
        {"infer": Percentiles(ms, ms, ms)}, Memory("x", peak),
        accuracy=Accuracy(10, miou, miou, miou),
    ),
    share, amount, amount, st.integers(0, 10**12),
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
