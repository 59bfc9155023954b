"""Judges one report against a budget, a baseline, or both.

Limits are one-sided: a gain never fails. A figure with an interval fails only when the whole
interval lies beyond the limit, so that noise alone raises no alarm.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping

from edgeseg.core.report import Report
from edgeseg.runtime.gate.budget import Budget
from edgeseg.runtime.gate.comparable import (
    machine_difference,
    method_difference,
    reference_difference,
    source_difference,
)
from edgeseg.runtime.gate.verdict import ACCURACY, COST, Check, Verdict, bounded


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How much worse than its baseline a report may be.

    Attributes:
        miou_drop: absolute loss of mIoU.
        class_drop: absolute loss of one class's IoU; wider, for a rare class is few pixels.
        latency_ratio: time over the baseline's: of the ratio to the in-run reference where the
            baseline has one, else of the median.
        tail_ratio: the same of the 90th and 99th percentile, which few frames decide.
        memory_ratio: peak memory over the baseline's.
        memory_slack_bytes: growth that is never counted: a page cache or an allocator's pool.
        size_ratio: bytes, parameters or multiply-accumulates over the baseline's.
        energy_ratio: energy of one inference over the baseline's.
    """

    miou_drop: float = 0.005
    class_drop: float = 0.05
    latency_ratio: float = 1.10
    tail_ratio: float = 1.25
    memory_ratio: float = 1.10
    memory_slack_bytes: int = 8_000_000
    size_ratio: float = 1.02
    energy_ratio: float = 1.10


def judge(
    report: Report,
    *,
    budget: Budget | None = None,
    baseline: Report | None = None,
    tolerance: Tolerance = Tolerance(),
    yardstick: bool = False,
) -> Verdict:
    """Judge a report.

    A figure that a budget limits and the report lacks is a failure. Times and bytes are compared
    with a baseline only on an equal machine, runtime and way of running, and what the source weighs
    in only for an equal source; otherwise the check says that it cannot be made, which is neither a
    pass nor a failure. Where other rows are timed against this one (`yardstick`), its own times are
    not compared: they say how busy the machine is.
    """
    checks: list[Check] = []
    if budget is not None:
        checks += _against_budget(report, budget, yardstick=yardstick)
    if baseline is not None:
        checks += _against_baseline(report, baseline, tolerance, yardstick=yardstick)
    return Verdict(tuple(checks))


def judge_rows(
    rows: Mapping[str, Report],
    *,
    budget: Budget | None = None,
    baseline: Mapping[str, Report] | None = None,
    tolerance: Tolerance = Tolerance(),
) -> Verdict:
    """Judge the rows of a bench; of several, a check's name begins with the row's.

    A row of the baseline that is missing now cannot be compared.
    """
    checks: list[Check] = []
    yardsticks = {row.reference.name for row in rows.values() if row.reference is not None}
    for name, report in rows.items():
        found = judge(
            report,
            budget=budget,
            baseline=(baseline or {}).get(name),
            tolerance=tolerance,
            yardstick=name in yardsticks,
        )
        if len(rows) == 1:
            checks += found.checks
        else:
            checks += [dataclasses.replace(c, name=f"{name}: {c.name}") for c in found.checks]
    for name in baseline or {}:
        if name not in rows:
            why = "the baseline has this row, the report has not; measure it or accept a new one"
            checks.append(Check(f"{name}: row", COST, None, None, None, why))
    return Verdict(tuple(checks))


# figure of figures(): its field in Budget, and what missing it costs
LOWER_BOUNDS = {"miou": ("min_miou", ACCURACY), "fps": ("min_fps", COST)}
UPPER_BOUNDS = {
    "infer_p50_ms": "max_infer_p50_ms",
    "infer_p90_ms": "max_infer_p90_ms",
    "infer_p99_ms": "max_infer_p99_ms",
    "time_ratio": "max_time_ratio",
    "end_to_end_p99_ms": "max_end_to_end_p99_ms",
    "frame_age_p90_ms": "max_frame_age_p90_ms",
    "peak_bytes": "max_peak_bytes",
    "dropped_ratio": "max_dropped_ratio",
    "joules_per_frame": "max_joules_per_frame",
    "bundle_bytes": "max_bundle_bytes",
}
# Known before anything runs, so equal on every machine.
SIZES = ("bundle_bytes", "onnx_bytes", "params", "macs")


def figures(report: Report) -> dict[str, float | int | None]:
    """Return what a gate looks at, by name; None where the report has no such figure."""
    infer, whole = report.latency_ms.get("infer"), report.latency_ms.get("end_to_end")
    seen = report.frames + report.dropped
    return {
        "miou": None if report.accuracy is None else report.accuracy.miou,
        "fps": report.fps,
        "infer_p50_ms": None if infer is None else infer.p50,
        "infer_p90_ms": None if infer is None else infer.p90,
        "infer_p99_ms": None if infer is None else infer.p99,
        "time_ratio": None if report.reference is None else report.reference.time_ratio,
        "time_ratio_p90": None if report.reference is None else report.reference.p90,
        "time_ratio_p99": None if report.reference is None else report.reference.p99,
        "end_to_end_p99_ms": None if whole is None else whole.p99,
        "frame_age_p90_ms": None if report.frame_age_ms is None else report.frame_age_ms.p90,
        "peak_bytes": None if report.memory is None else report.memory.peak_bytes,
        "dropped_ratio": report.dropped / seen if seen else None,
        "joules_per_frame": (report.energy or {}).get("joules_per_frame"),
        **{name: report.cost.get(name) for name in SIZES},
    }


def class_ious(report: Report) -> Mapping[str, float | None]:
    """Return IoU by class name; empty where the report has none."""
    return (report.accuracy.per_class_iou if report.accuracy else None) or {}


def _interval(report: Report, name: str) -> tuple[float, float] | None:
    if name == "time_ratio" and report.reference is not None:
        return report.reference.low, report.reference.high
    return report.intervals.get(name)


def _against_budget(report: Report, budget: Budget, *, yardstick: bool) -> list[Check]:
    found = figures(report)
    checks = []
    for name, (field, kind) in LOWER_BOUNDS.items():
        low = getattr(budget, field)
        if low is not None and name == "fps" and "rounds" in report.run:
            why = "a bench has no rate; limit max_infer_p50_ms, or judge a stream"
            checks.append(Check(name, kind, None, low, None, why))
        elif low is not None:
            checks.append(bounded(name, kind, found[name], low=low))
    for name, low in (budget.min_class_iou or {}).items():
        checks.append(bounded(f"iou of {name}", ACCURACY, class_ious(report).get(name), low=low))
    for name, field in UPPER_BOUNDS.items():
        high = getattr(budget, field)
        # A row that the others are timed against has no ratio of its own.
        if high is not None and not (yardstick and name == "time_ratio"):
            interval = _interval(report, name)
            checks.append(bounded(name, COST, found[name], high=high, interval=interval))
    return checks


def _against_baseline(
    report: Report, baseline: Report, tolerance: Tolerance, *, yardstick: bool
) -> list[Check]:
    return [
        *_accuracy_checks(report, baseline, tolerance),
        *_size_checks(report, baseline, tolerance),
        *(() if yardstick else _time_checks(report, baseline, tolerance)),
        *_resource_checks(report, baseline, tolerance),
    ]


def _accuracy_checks(report: Report, baseline: Report, tolerance: Tolerance) -> Iterable[Check]:
    now, miou = class_ious(report), figures(report)["miou"]
    # name, value, the baseline's, what it may lose, whether there is nothing left to score
    limits = [("miou", miou, figures(baseline)["miou"], tolerance.miou_drop, False)]
    for name, iou in class_ious(baseline).items():
        value = now.get(name)
        gone = name in now and value is None
        limits.append((f"iou of {name}", value, iou, tolerance.class_drop, gone))
    why = source_difference(report, baseline)
    for name, value, before, drop, gone in limits:
        if before is None:
            continue
        check_name, limit = f"{name}_against_baseline", before - drop
        if why is None and gone:
            why_gone = "neither in the truth nor predicted any more"
            yield Check(check_name, ACCURACY, None, limit, True, why_gone)
        elif why is None:
            yield bounded(check_name, ACCURACY, value, low=limit)
        else:
            yield Check(check_name, ACCURACY, value, limit, None, why)


def _size_checks(report: Report, baseline: Report, tolerance: Tolerance) -> Iterable[Check]:
    for name in SIZES:
        before = baseline.cost.get(name)
        if before is not None:
            high = before * tolerance.size_ratio
            yield bounded(f"{name}_against_baseline", COST, report.cost.get(name), high=high)
    before = baseline.cost.get("int8_conv_share")
    if before is not None:
        # Equal to the digit: one convolution that fell out of INT8 is a finding.
        value = report.cost.get("int8_conv_share")
        yield bounded("int8_conv_share_against_baseline", COST, value, low=before - 1e-9)


def _time_checks(report: Report, baseline: Report, tolerance: Tolerance) -> Iterable[Check]:
    """Compare ratios to the in-run reference where the baseline has one, else absolute times.

    A machine that is slower today is slower for the reference too; an absolute time cannot tell.
    """
    why_not = machine_difference(report, baseline)
    names = {"infer_p50_ms": tolerance.latency_ratio}
    names |= dict.fromkeys(("infer_p90_ms", "infer_p99_ms"), tolerance.tail_ratio)
    if baseline.reference is not None:
        why_not = why_not or reference_difference(report.reference, baseline.reference)
        names = {"time_ratio": tolerance.latency_ratio}
        names |= dict.fromkeys(("time_ratio_p90", "time_ratio_p99"), tolerance.tail_ratio)
    if baseline.run.get("live"):
        # Files are read ahead: there the way from end to end is mostly waiting.
        names["end_to_end_p99_ms"] = tolerance.tail_ratio
    now, before = figures(report), figures(baseline)
    for name, ratio in names.items():
        was, value = before[name], now[name]
        if was is None:
            continue
        check_name, limit = f"{name}_against_baseline", was * ratio
        reason = why_not
        if name == "end_to_end_p99_ms":
            reason = reason or source_difference(report, baseline)
        if reason is not None:
            yield Check(check_name, COST, value, limit, None, reason)
            continue
        interval, old = _interval(report, name), _interval(baseline, name)
        if value is not None and interval is not None and old is not None:
            interval = _of_both(value, interval, was, old)
        yield bounded(check_name, COST, value, high=limit, interval=interval)


def _of_both(
    value: float, own: tuple[float, float], before: float, old: tuple[float, float]
) -> tuple[float, float]:
    """Widen a value's interval by the baseline's, which was measured under noise too.

    The runs are independent, so their widths add in quadrature, as logarithms: times are compared
    as ratios.
    """
    down = math.hypot(_log(value, own[0]), _log(old[1], before))
    up = math.hypot(_log(own[1], value), _log(before, old[0]))
    return value * math.exp(-down), value * math.exp(up)


def _log(above: float, below: float) -> float:
    return math.log(above / below) if above > 0 and below > 0 else 0.0


def _resource_checks(report: Report, baseline: Report, tolerance: Tolerance) -> Iterable[Check]:
    now, before = figures(report), figures(baseline)
    why_not = machine_difference(report, baseline)
    slack = tolerance.memory_slack_bytes
    for name, ratio, extra in (
        ("peak_bytes", tolerance.memory_ratio, slack),
        ("joules_per_frame", tolerance.energy_ratio, 0),
    ):
        was = before[name]
        if was is None:
            continue
        reason = why_not
        if name == "peak_bytes":
            reason = reason or method_difference(report.memory, baseline.memory)
            reason = reason or source_difference(report, baseline)
        limit = was * ratio + extra
        if reason is not None:
            yield Check(f"{name}_against_baseline", COST, now[name], limit, None, reason)
        else:
            yield bounded(f"{name}_against_baseline", COST, now[name], high=limit)
