"""Decides whether figures of two reports can be compared: machine, runtime, method."""

from __future__ import annotations

from edgeseg.core.report import Memory, Reference, Report

# What must be equal before absolute times or bytes of two reports say anything about each other.
MACHINE_KEYS = ("system", "architecture", "board", "cpu", "cores", "l4t", "power_mode")
BACKEND_KEYS = ("runtime", "device", "precision", "threads")
# Frames of one call, and for how long labels were held back.
RUN_KEYS = ("batch", "held_to_ms")


def reference_difference(now: Reference | None, before: Reference) -> str | None:
    """Return why ratios to two reference rows do not compare, None when they do."""
    if now is None:
        return f"no reference row was run, the baseline's is {before.name!r}"
    for field in ("sha256", "backend", "precision"):
        found, was = getattr(now, field), getattr(before, field)
        if found != was:
            return f"the reference row's {field} is {found!r}, the baseline's {was!r}"
    return None


def method_difference(now: Memory | None, before: Memory | None) -> str | None:
    """Return why two peaks of memory do not compare, None when they do."""
    if now is None or before is None or now.method == before.method:
        return None
    return f"memory is measured as {now.method!r}, the baseline's as {before.method!r}"


def source_difference(report: Report, baseline: Report) -> str | None:
    """Return why figures that depend on the frames do not compare, None when they do."""
    if report.source == baseline.source:
        return None
    return f"the source is {report.source!r}, the baseline's {baseline.source!r}"


def scored_difference(report: Report, baseline: Report) -> str | None:
    """Return why two accuracies do not compare, None when they do.

    A camera or replay scores what it had time for; files are scored whole.
    """
    now, before = report.accuracy, baseline.accuracy
    why = source_difference(report, baseline)
    live = report.run.get("live") or baseline.run.get("live")
    if why is None and now is not None and before is not None and now.n != before.n and not live:
        why = f"{now.n} frames were scored, the baseline's are {before.n}; score as many"
    return why


def energy_difference(report: Report, baseline: Report) -> str | None:
    """Return why two energies do not compare, None when they do: one method and one source."""
    now, before = (one.energy or {} for one in (report, baseline))
    if now.get("method") != before.get("method"):
        return (
            f"energy is measured as {now.get('method')!r}, the baseline's {before.get('method')!r}"
        )
    return source_difference(report, baseline)


def machine_difference(report: Report, baseline: Report) -> str | None:
    """Return why absolute figures of two reports do not compare, None when they do."""
    for one, whose in ((report, "the report"), (baseline, "the baseline")):
        if not any(one.machine.get(key) for key in ("board", "cpu", "architecture")):
            return f"{whose} does not say on which machine it was measured"
    for keys, now, before in (
        (MACHINE_KEYS, report.machine, baseline.machine),
        (BACKEND_KEYS, report.backend, baseline.backend),
        (RUN_KEYS, report.run, baseline.run),
    ):
        for key in keys:
            if now.get(key) != before.get(key):
                return f"{key} is {now.get(key)!r}, the baseline's {before.get(key)!r}"
    return None
