"""The regression verdict: one report against a budget, a baseline, or both."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from edgeseg.core.report import Budget, Memory, Report

# What must be equal before absolute times or bytes of two reports say anything about each other.
MACHINE_KEYS = ("system", "architecture", "board", "cpu", "cores", "l4t", "power_mode")
BACKEND_KEYS = ("runtime", "device", "precision", "threads")
ACCURACY = "accuracy"
COST = "cost"


@dataclasses.dataclass(frozen=True)
class Tolerance:
    """How much worse than its baseline a report may be.

    Attributes:
        miou_drop: absolute loss of mIoU.
        latency_ratio: median or 99th percentile over the baseline's.
        memory_ratio: peak memory over the baseline's.
    """

    miou_drop: float = 0.005
    latency_ratio: float = 1.10
    memory_ratio: float = 1.10


@dataclasses.dataclass(frozen=True)
class Check:
    """One comparison.

    Attributes:
        name: what was compared.
        kind: ACCURACY or COST, which decides the exit code.
        value: the report's figure, None where it has none.
        limit: the bound, None where there is none to compare with.
        ok: None when the two figures cannot be compared.
        why: one line.
    """

    name: str
    kind: str
    value: float | int | None
    limit: float | int | None
    ok: bool | None
    why: str


@dataclasses.dataclass(frozen=True)
class Verdict:
    """All checks of one report."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> str:
        """Say "fail" if any check fails, else "not_comparable" if any cannot be made."""
        if any(check.ok is False for check in self.checks):
            return "fail"
        if any(check.ok is None for check in self.checks) or not self.checks:
            return "not_comparable"
        return "pass"

    @property
    def exit_code(self) -> int:
        """0 pass, 3 accuracy failed, 4 only time or memory failed, 1 not comparable."""
        failed = {check.kind for check in self.checks if check.ok is False}
        if failed:
            return 3 if ACCURACY in failed else 4
        return 0 if self.verdict == "pass" else 1

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeseg gate --json`."""
        return {
            "verdict": self.verdict,
            "checks": [dataclasses.asdict(check) for check in self.checks],
        }


def judge(
    report: Report,
    *,
    budget: Budget | None = None,
    baseline: Report | None = None,
    tolerance: Tolerance = Tolerance(),
) -> Verdict:
    """Judge a report.

    A figure that a budget limits and the report lacks is a failure. Times and bytes are compared
    with a baseline only on an equal machine, runtime and source; otherwise the check says that it
    cannot be made, which is neither a pass nor a failure.
    """
    checks: list[Check] = []
    if budget is not None:
        checks += _against_budget(report, budget)
    if baseline is not None:
        checks += _against_baseline(report, baseline, tolerance)
    return Verdict(tuple(checks))


# figure of figures(): its field in Budget, and what missing it costs
LOWER_BOUNDS = {"miou": ("min_miou", ACCURACY), "fps": ("min_fps", COST)}
UPPER_BOUNDS = {
    "infer_p50_ms": "max_infer_p50_ms",
    "end_to_end_p99_ms": "max_end_to_end_p99_ms",
    "frame_age_p90_ms": "max_frame_age_p90_ms",
    "peak_bytes": "max_peak_bytes",
    "dropped_ratio": "max_dropped_ratio",
}


def figures(report: Report) -> dict[str, float | int | None]:
    """Return what a gate looks at, by name; None where the report has no such figure."""
    infer, whole = report.latency_ms.get("infer"), report.latency_ms.get("end_to_end")
    seen = report.frames + report.dropped
    return {
        "miou": None if report.accuracy is None else report.accuracy.miou,
        "fps": report.fps,
        "infer_p50_ms": None if infer is None else infer.p50,
        "infer_p99_ms": None if infer is None else infer.p99,
        "end_to_end_p99_ms": None if whole is None else whole.p99,
        "frame_age_p90_ms": None if report.frame_age_ms is None else report.frame_age_ms.p90,
        "peak_bytes": None if report.memory is None else report.memory.peak_bytes,
        "dropped_ratio": report.dropped / seen if seen else None,
    }


def _against_budget(report: Report, budget: Budget) -> list[Check]:
    found = figures(report)
    checks = []
    for name, (field, kind) in LOWER_BOUNDS.items():
        low = getattr(budget, field)
        if low is not None:
            checks.append(_bounded(name, kind, found[name], low=low))
    for name, field in UPPER_BOUNDS.items():
        high = getattr(budget, field)
        if high is not None:
            checks.append(_bounded(name, COST, found[name], high=high))
    return checks


def _bounded(
    name: str,
    kind: str,
    value: float | int | None,
    *,
    low: float | int = -math.inf,
    high: float | int = math.inf,
) -> Check:
    word, limit = ("at least", low) if high == math.inf else ("at most", high)
    if value is None:
        return Check(name, kind, None, limit, False, f"the report has no {name}; measure it")
    why = f"{value:.6g}, expected {word} {limit:.6g}"
    return Check(name, kind, value, limit, low <= value <= high, why)


def _against_baseline(report: Report, baseline: Report, tolerance: Tolerance) -> list[Check]:
    now, before = figures(report), figures(baseline)
    checks = []
    miou = before["miou"]
    if miou is not None:
        name, limit = "miou_against_baseline", miou - tolerance.miou_drop
        if report.source == baseline.source:
            checks.append(_bounded(name, ACCURACY, now["miou"], low=limit))
        else:
            why = f"the source is {report.source!r}, the baseline's {baseline.source!r}"
            checks.append(Check(name, ACCURACY, now["miou"], limit, None, why))
    ratios = {
        "infer_p50_ms": tolerance.latency_ratio,
        "infer_p99_ms": tolerance.latency_ratio,
        "peak_bytes": tolerance.memory_ratio,
    }
    if baseline.run.get("live"):
        # Files are read ahead: there the way from end to end is mostly waiting.
        ratios["end_to_end_p99_ms"] = tolerance.latency_ratio
    for name, ratio in ratios.items():
        value = before[name]
        if value is None:
            continue
        why_not = machine_difference(report, baseline)
        if name == "peak_bytes":
            why_not = why_not or _method_difference(report.memory, baseline.memory)
        check_name, limit = f"{name}_against_baseline", value * ratio
        if why_not is not None:
            checks.append(Check(check_name, COST, now[name], limit, None, why_not))
        else:
            checks.append(_bounded(check_name, COST, now[name], high=limit))
    return checks


def _method_difference(now: Memory | None, before: Memory | None) -> str | None:
    if now is None or before is None or now.method == before.method:
        return None
    return f"memory is measured as {now.method!r}, the baseline's as {before.method!r}"


def machine_difference(report: Report, baseline: Report) -> str | None:
    """Return why absolute figures of two reports do not compare, None when they do."""
    for keys, now, before in (
        (MACHINE_KEYS, report.machine, baseline.machine),
        (BACKEND_KEYS, report.backend, baseline.backend),
    ):
        for key in keys:
            if now.get(key) != before.get(key):
                return f"{key} is {now.get(key)!r}, the baseline's {before.get(key)!r}"
    return None
