"""A verdict on the terminal: what did not pass, by how much, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeseg.cli.common.output import answer, print_table
from edgeseg.cli.gate.ci_pages import WORDS

if TYPE_CHECKING:
    from edgeseg.runtime.gate.verdict import Check, Verdict

AGAINST = "_against_baseline"
MIB = 1 << 20
COLUMNS = ("check", "verdict", "value", "limit", "unit", "why and what to do")
# Figure, or the end of its name: what to do when it fails.
ADVICE = (
    ("row", ""),
    ("frames", ""),
    ("run", "look at the run's own report"),
    ("peak_bytes", "smaller input, fewer channels, or accept it as the new baseline"),
    ("joules_per_frame", "look at power mode and clocks, then at what grew the time"),
    ("dropped_ratio", "the network is slower than the camera: a smaller one, or fewer frames"),
    ("fps", "edgeseg bench shows which stage takes the time"),
    ("_ms", "edgeseg bench shows which stage takes the time"),
    ("time_ratio", "edgeseg bench old new --reference fp32 shows the growth"),
    ("time_ratio_p90", "edgeseg bench old new --reference fp32 shows the growth"),
    ("time_ratio_p99", "edgeseg bench old new --reference fp32 shows the growth"),
    ("int8_conv_share", "edgeseg lint names the layers that fell out of INT8"),
    ("_bytes", "prune or quantize, or accept it as the new baseline"),
    ("params", "prune, or accept it as the new baseline"),
    ("macs", "prune, or accept it as the new baseline"),
    ("miou", "edgeseg eval --save-errors 10 shows the worst images"),
)


def print_findings(verdict: Verdict, notes: Sequence[str], *, every: bool) -> None:
    """Print the checks that did not pass, or all, and the verdict as the last line.

    Args:
        verdict: of all rows.
        notes: lines before the last one.
        every: whether to print the checks that passed too.
    """
    kept = [check for check in verdict.checks if check.ok is False or (every and check.ok)]
    if kept:
        print_table(COLUMNS, [_line(one) for one in sorted(kept, key=lambda c: c.ok is True)])
    for why, names in _unmade(verdict.checks).items():
        answer(f"not comparable: {', '.join(names)}: {why}")
    for line in notes:
        answer(line)
    answer(verdict.summary())


def _unmade(checks: Sequence[Check]) -> dict[str, list[str]]:
    """Return the names of what could not be compared, by the reason."""
    found: dict[str, list[str]] = {}
    for check in checks:
        if check.ok is None:
            found.setdefault(check.why, []).append(check.name.removesuffix(AGAINST))
    return found


def _line(check: Check) -> tuple[str | None, ...]:
    name = check.name.replace(AGAINST, " against the baseline")
    figure = figure_of(check.name)
    unit, scale = unit_of(figure)
    advice = _advice(figure) if check.ok is False and check.value is not None else ""
    why = f"{check.why}; {advice}" if advice else check.why
    if check.value is not None and check.limit is not None and check.ok is False:
        why = advice or check.why
    value, limit = (_figure(one, scale) for one in (check.value, check.limit))
    return name, WORDS[check.ok], value, limit, unit, why


def figure_of(name: str) -> str:
    """Return a check's figure: its name without the row and what it is compared with."""
    return name.removesuffix(AGAINST).split(": ")[-1]


def unit_of(figure: str) -> tuple[str, float]:
    """Return the unit in which a figure is shown, and what to multiply it by."""
    if figure.endswith("_bytes"):
        return "MiB", 1 / MIB
    if figure.endswith("_ms"):
        return "ms", 1.0
    units = {
        "fps": "frames/s",
        "joules_per_frame": "J",
        "macs": "GMAC",
        "params": "million",
        "dropped_ratio": "of frames",
        "int8_conv_share": "of layers",
    }
    if figure.startswith("time_ratio"):
        return "x reference", 1.0
    if figure == "miou" or figure.startswith("iou of "):
        return "0-1", 1.0
    return units.get(figure, ""), {"macs": 1e-9, "params": 1e-6}.get(figure, 1.0)


def _advice(figure: str) -> str:
    if figure.startswith("iou of "):
        figure = "miou"
    exact = [words for end, words in ADVICE if figure == end]
    return next(iter(exact or [words for end, words in ADVICE if figure.endswith(end)]), "")


def _figure(value: float | int | None, scale: float) -> str | None:
    return None if value is None else f"{value * scale:.4g}"
