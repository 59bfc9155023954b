"""Check: one figure against its limit; Verdict: all of them, and the exit code."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

ACCURACY = "accuracy"
COST = "cost"


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
        interval: 95 % interval of the value, None where it has none.
    """

    name: str
    kind: str
    value: float | int | None
    limit: float | int | None
    ok: bool | None
    why: str
    interval: tuple[float, float] | None = None


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

    def reasons(self) -> str:
        """Return why it did not pass, in one line."""
        wanted = False if self.verdict == "fail" else None
        found = [f"{check.name}: {check.why}" for check in self.checks if check.ok is wanted]
        return "; ".join(found) or "no limit is set"

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeseg gate --json`."""
        return {
            "verdict": self.verdict,
            "checks": [dataclasses.asdict(check) for check in self.checks],
        }


def bounded(
    name: str,
    kind: str,
    value: float | int | None,
    *,
    low: float | int = -math.inf,
    high: float | int = math.inf,
    interval: tuple[float, float] | None = None,
) -> Check:
    """Compare a value with its one limit; one that is missing fails."""
    word, limit = ("at least", low) if high == math.inf else ("at most", high)
    if value is None:
        return Check(name, kind, None, limit, False, f"the report has no {name}; measure it")
    why = f"{value:.6g}, expected {word} {limit:.6g}"
    ok = low <= value <= high
    if not ok and interval is not None and interval[0] <= high and interval[1] >= low:
        ok = True
        why += f"; the limit lies inside the interval {interval[0]:.6g} to {interval[1]:.6g}"
    return Check(name, kind, value, limit, ok, why, interval)
