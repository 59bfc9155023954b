"""Judges one report against a budget, a baseline, or both.

Limits are one-sided: a gain never fails. Against a baseline, a time with an interval fails only
when the whole interval lies beyond the limit, so that noise alone raises no alarm; an interval too
wide to tell is no pass. Against a budget the time itself counts, or its whole interval.

What is missing never passes: a figure or row that the baseline has and the report lacks fails, one
that the baseline lacks cannot be compared.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

from edgeseg.core.report import Report, class_ious
from edgeseg.errors import UsageError
from edgeseg.runtime.gate.budget import Budget
from edgeseg.runtime.gate.comparable import (
    energy_difference,
    machine_difference,
    method_difference,
    reference_difference,
    scored_difference,
    source_difference,
)
from edgeseg.runtime.gate.spread import FEWEST, judge_by_runs
from edgeseg.runtime.gate.verdict import ACCURACY, COST, Check, Verdict, bounded

# Upper over lower end of a time ratio's interval. With the first, a ratio beyond its limit of 1.10
# may be chance, and a growth of 1.3 would still leave the limit out of its interval in 99 runs of
# 100; with the second, a growth of 1.3 gives a ratio within the limit in one run of 100.
# docs/regression-tests.md has the curve.
WIDEST, WIDEST_WITHIN = 1.17, 1.32
# The 90th and 99th percentile are a few frames; wider than this they say nothing of a growth of
# 1.25, and past the second no measurement gave them.
WIDEST_TAIL, ABSURD_TAIL = 1.5, 100.0
TAILS = ("time_ratio_p90", "time_ratio_p99")


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How much worse than its baseline a report may be.

    Attributes:
        miou_drop: absolute loss of mIoU.
        class_drop: absolute loss of one class's IoU; wider, for a rare class is few pixels.
        latency_ratio: time over the baseline's: of the ratio to the in-run reference where the
            baseline has one, else of the median of several accepted runs.
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

    def __post_init__(self) -> None:
        """Refuse what would let everything or nothing pass."""
        for name, value in vars(self).items():
            if isinstance(value, bool) or not 0 <= value < math.inf:
                raise UsageError(f"{name} is {value!r}, expected a finite number of at least 0")


def judge(
    report: Report,
    *,
    budget: Budget | None = None,
    baseline: Report | None = None,
    repeats: Sequence[Report] = (),
    tolerance: Tolerance = Tolerance(),
    yardstick: bool = False,
) -> Verdict:
    """Judge a report.

    A figure that a budget limits and the report lacks is a failure. Times and bytes are compared
    with a baseline only on an equal machine, runtime and way of running, and what the source weighs
    in only for an equal source; otherwise the check says that it cannot be made, which is neither a
    pass nor a failure. Where other rows are timed against this one (`yardstick`), its own times are
    not compared: they say how busy the machine is.

    Args:
        report: what was measured.
        budget: its limits.
        baseline: an accepted run.
        repeats: further accepted runs of the same kind. Times without an in-run reference, as a
            stream's, are compared only by the spread over FEWEST runs.
        tolerance: how much worse than the baseline it may be.
        yardstick: whether other rows of the run are timed against this one.

    Raises:
        UsageError: nothing was measured in the baseline.
    """
    checks = [*_run_checks(report)]
    if budget is not None:
        checks += _against_budget(report, budget, yardstick=yardstick)
    if baseline is not None:
        for each in (baseline, *repeats):
            for broken in _run_checks(each):
                raise UsageError(f"the baseline is none: {broken.why}; accept another one")
        checks += _against_baseline(report, baseline, repeats, tolerance, yardstick=yardstick)
    return Verdict(tuple(checks))


def judge_rows(
    rows: Mapping[str, Report],
    *,
    budget: Budget | None = None,
    baseline: Mapping[str, Report] | None = None,
    repeats: Sequence[Mapping[str, Report]] = (),
    tolerance: Tolerance = Tolerance(),
) -> Verdict:
    """Judge the rows of a bench; of several, a check's name begins with the row's.

    A row of the baseline that is missing now fails.
    """
    checks: list[Check] = []
    yardsticks = {row.reference.name for row in rows.values() if row.reference is not None}
    for name, report in rows.items():
        found = judge(
            report,
            budget=budget,
            baseline=(baseline or {}).get(name),
            repeats=[each[name] for each in repeats if name in each],
            tolerance=tolerance,
            yardstick=name in yardsticks and report.reference is None,
        )
        if baseline is not None and name not in baseline:
            why = "the baseline has no such row; accept a new one"
            found = Verdict((*found.checks, Check("row", COST, None, None, None, why)))
        if len(rows) == 1:
            checks += found.checks
        else:
            checks += [dataclasses.replace(c, name=f"{name}: {c.name}") for c in found.checks]
    for name, row in (baseline or {}).items():
        if name not in rows:
            why = "the baseline has this row, the report has not; measure it or accept a new one"
            kind = COST if row.accuracy is None else ACCURACY
            checks.append(Check(f"{name}: row", kind, None, None, False, why))
    return Verdict(tuple(checks))


def _run_checks(report: Report) -> Iterable[Check]:
    """Yield a failure for a run that measured nothing or broke off."""
    if report.frames == 0:
        yield Check("frames", COST, 0, 1, False, "no frame was measured; measure again")
    if report.run.get("error"):
        why = f"the run ended with an error: {report.run['error']}"
        yield Check("run", COST, None, None, False, why)


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
        if high is None or (yardstick and name == "time_ratio"):
            continue
        check = bounded(name, COST, found[name], high=high)
        if budget.strict and name in TIMED and found[name] is not None:
            check = _whole_inside(check, _interval(report, name))
        checks.append(check)
    return checks


# Figures of which a bench gives an interval.
TIMED = ("infer_p50_ms", "infer_p90_ms", "infer_p99_ms", "time_ratio")


def _whole_inside(check: Check, interval: tuple[float, float] | None) -> Check:
    """Turn a check of a time into one of its whole interval."""
    if interval is None:
        why = f"{check.why}; it has no interval, which strict needs: edgeseg bench gives one"
        return dataclasses.replace(check, ok=False, why=why)
    why = f"{check.why}, its whole interval too: {interval[0]:.6g} to {interval[1]:.6g}"
    inside = interval[1] <= float(check.limit or 0)
    return dataclasses.replace(check, ok=check.ok and inside, why=why, interval=interval)


def _against_baseline(
    report: Report,
    baseline: Report,
    repeats: Sequence[Report],
    tolerance: Tolerance,
    *,
    yardstick: bool,
) -> list[Check]:
    times: Iterable[Check] = ()
    if baseline.reference is not None or report.reference is not None:
        times = _ratio_checks(report, baseline, tolerance)
    elif not yardstick:
        times = _absolute_checks(report, baseline, repeats, tolerance)
    return [
        *_accuracy_checks(report, baseline, tolerance),
        *_size_checks(report, baseline, tolerance),
        *times,
        *_resource_checks(report, baseline, tolerance),
    ]


def _unknown_before(
    name: str, kind: str, value: float | int | None, *, decides: bool = True
) -> Check:
    why = f"the baseline has no {name}; accept a new one"
    return Check(f"{name}_against_baseline", kind, value, None, None, why, decides=decides)


def _accuracy_checks(report: Report, baseline: Report, tolerance: Tolerance) -> Iterable[Check]:
    now, was = class_ious(report), class_ious(baseline)
    miou, before = figures(report)["miou"], figures(baseline)["miou"]
    why = scored_difference(report, baseline)
    if before is not None:
        yield _no_worse("miou", miou, before - tolerance.miou_drop, why)
    elif miou is not None:
        yield _unknown_before("miou", ACCURACY, miou)
    for name in dict.fromkeys((*was, *now)):
        value, iou = now.get(name), was.get(name)
        if iou is not None and why is None and name in now and value is None:
            limit, gone = iou - tolerance.class_drop, "neither in the truth nor predicted any more"
            check_name = f"iou of {name}_against_baseline"
            if iou == 0:
                # Seen where there was none, and now no more.
                yield Check(check_name, ACCURACY, None, limit, True, gone)
            elif report.run.get("live"):
                # Which frames a camera's replay scores is chance.
                yield Check(check_name, ACCURACY, None, limit, None, gone, decides=False)
            else:
                yield Check(check_name, ACCURACY, None, limit, False, f"{gone}; it was {iou:.6g}")
        elif iou is not None:
            yield _no_worse(f"iou of {name}", value, iou - tolerance.class_drop, why)
        elif value is not None and why is None:
            # Absent before and 0 now: the network sees it where there is none, which mIoU counts.
            decides = before is not None and (value > 0 or name not in was)
            yield _unknown_before(f"iou of {name}", ACCURACY, value, decides=decides)


def _no_worse(name: str, value: float | int | None, limit: float, why: str | None) -> Check:
    check_name = f"{name}_against_baseline"
    if why is not None:
        return Check(check_name, ACCURACY, value, limit, None, why)
    return bounded(check_name, ACCURACY, value, low=limit)


def _size_checks(report: Report, baseline: Report, tolerance: Tolerance) -> Iterable[Check]:
    for name in (*SIZES, "int8_conv_share"):
        before, value = baseline.cost.get(name), report.cost.get(name)
        if before is None:
            if value is not None:
                yield _unknown_before(name, COST, value)
        elif name == "int8_conv_share":
            # Equal to the digit: one convolution that fell out of INT8 is a finding.
            yield bounded(f"{name}_against_baseline", COST, value, low=before - 1e-9)
        else:
            high = before * tolerance.size_ratio
            yield bounded(f"{name}_against_baseline", COST, value, high=high)


def _ratio_checks(report: Report, baseline: Report, tolerance: Tolerance) -> Iterable[Check]:
    """Compare the ratios to the in-run reference.

    A machine that is slower today is slower for the reference too; an absolute time cannot tell.
    """
    if baseline.reference is None:
        yield _unknown_before("time_ratio", COST, figures(report)["time_ratio"])
        return
    why_not = machine_difference(report, baseline)
    why_not = why_not or reference_difference(report.reference, baseline.reference)
    now, before = figures(report), figures(baseline)
    for name in ("time_ratio", *TAILS):
        was, value = before[name], now[name]
        limit = tolerance.tail_ratio if name in TAILS else tolerance.latency_ratio
        if was is None:
            if value is not None:
                yield _unknown_before(name, COST, value)
            continue
        check_name = f"{name}_against_baseline"
        if why_not is not None:
            yield Check(check_name, COST, value, was * limit, None, why_not)
            continue
        check = bounded(check_name, COST, value, high=was * limit)
        own, old = _interval(report, name), _interval(baseline, name)
        if value is not None and own is not None and old is not None:
            check = _under_noise(check, value, was, _of_both(value, own, was, old))
        yield check


def _under_noise(check: Check, value: float, before: float, interval: tuple[float, float]) -> Check:
    """Judge a time by its interval: beyond the limit, within it, or too wide to tell.

    What did not grow at all passes, however noisy.
    """
    low, high = interval
    limit, tail = float(check.limit or 0), check.name.removesuffix("_against_baseline") in TAILS
    why = f"{check.why}, interval {low:.6g} to {high:.6g}"
    widest = WIDEST if value > limit else WIDEST_WITHIN
    wide = high > low * (WIDEST_TAIL if tail else widest)
    if low > limit or high <= limit or value <= before or not wide:
        return dataclasses.replace(check, ok=low <= limit, why=why, interval=interval)
    why += "; too noisy to tell: take more rounds on a quieter machine"
    decides = not tail or (value > limit and high > low * ABSURD_TAIL)
    return dataclasses.replace(check, ok=None, why=why, interval=interval, decides=decides)


def _absolute_checks(
    report: Report, baseline: Report, repeats: Sequence[Report], tolerance: Tolerance
) -> Iterable[Check]:
    """Compare times that have no in-run reference with several accepted runs.

    How far a machine's speed wanders from run to run is in no interval of one run.
    """
    names = {"infer_p50_ms": tolerance.latency_ratio}
    names |= dict.fromkeys(("infer_p90_ms", "infer_p99_ms"), tolerance.tail_ratio)
    if baseline.run.get("live"):
        # Files are read ahead; a camera's frames wait as long as the network lets them.
        names["end_to_end_p99_ms"] = tolerance.tail_ratio
    now, runs = figures(report), (baseline, *repeats)
    for name, ratio in names.items():
        was, value = figures(baseline)[name], now[name]
        check_name = f"{name}_against_baseline"
        alike = [run for run in runs if figures(run)[name] is not None]
        alike = [run for run in alike if _alike(report, run, name) is None]
        if was is None and value is None:
            continue
        if why := _alike(report, baseline, name):
            yield Check(check_name, COST, value, None, None, why)
        elif value is None:
            yield bounded(check_name, COST, None, high=float(was or 0) * ratio)
        elif len(alike) < FEWEST:
            why = (
                f"one run cannot tell a slower network from a busy machine; give {FEWEST} "
                f"baselines, of which {len(alike)} compare, or a budget, or bench beside a "
                "reference"
            )
            yield Check(check_name, COST, value, None, None, why, decides=False)
        else:
            known = [float(figures(run)[name] or 0) for run in alike]
            yield judge_by_runs(check_name, value, known, ratio)


def _alike(report: Report, baseline: Report, name: str) -> str | None:
    why = machine_difference(report, baseline)
    return why or (source_difference(report, baseline) if name == "end_to_end_p99_ms" else None)


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
    """Return the logarithm of a ratio; 0 where an interval leaves its own value out."""
    if below <= 0:
        return math.inf if above > 0 else 0.0
    return max(0.0, math.log(above / below)) if above > 0 else 0.0


def _resource_checks(report: Report, baseline: Report, tolerance: Tolerance) -> Iterable[Check]:
    now, before = figures(report), figures(baseline)
    machine = machine_difference(report, baseline)
    memory = method_difference(report.memory, baseline.memory)
    energy = None if now["joules_per_frame"] is None else energy_difference(report, baseline)
    slack = tolerance.memory_slack_bytes
    rows = [
        (
            "peak_bytes",
            tolerance.memory_ratio,
            slack,
            memory or source_difference(report, baseline),
        ),
        ("joules_per_frame", tolerance.energy_ratio, 0, energy),
    ]
    for name, ratio, more, other in rows:
        was, value = before[name], now[name]
        check_name = f"{name}_against_baseline"
        if was is None:
            if value is not None:
                yield _unknown_before(name, COST, value)
        elif why := machine or other:
            yield Check(check_name, COST, value, was * ratio + more, None, why)
        elif name == "joules_per_frame" and (why := _longer(report, baseline, tolerance)):
            yield Check(check_name, COST, value, was * ratio, None, why, decides=False)
        else:
            yield bounded(check_name, COST, value, high=was * ratio + more)


def _longer(report: Report, baseline: Report, tolerance: Tolerance) -> str | None:
    """Return why energy is not judged: time is in it, and is judged by itself."""
    now, was = figures(report)["infer_p50_ms"], figures(baseline)["infer_p50_ms"]
    if now is None or was is None or now <= was * tolerance.latency_ratio:
        return None
    return f"a frame took {now:.6g} ms, in the baseline {was:.6g}, and energy grows with the time"
