"""Check: one figure against its limit; Verdict: all of them, and the exit code."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

ACCURACY = "accuracy"
COST = "cost"
# Names of checks that are of a whole run or row, whatever is judged of it.
WHOLE_RUN = ("frames", "run", ": row")


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
        decides: whether a figure that cannot be compared keeps the verdict from being a pass. It
            does not where no comparison was to be had, as of a stream's times with one baseline.
    """

    name: str
    kind: str
    value: float | int | None
    limit: float | int | None
    ok: bool | None
    why: str
    interval: tuple[float, float] | None = None
    decides: bool = True


@dataclasses.dataclass(frozen=True)
class Verdict:
    """All checks of one report."""

    checks: tuple[Check, ...]

    @property
    def verdict(self) -> str:
        """Say "fail" if any check fails, else "not_comparable" if one that decides was not made.

        At least one check must have been made for a pass.
        """
        if any(check.ok is False for check in self.checks):
            return "fail"
        if any(check.ok is None and check.decides for check in self.checks):
            return "not_comparable"
        return "pass" if any(check.ok for check in self.checks) else "not_comparable"

    @property
    def exit_code(self) -> int:
        """0 pass, 3 accuracy failed, 4 only time or memory failed, 1 not comparable."""
        failed = {check.kind for check in self.checks if check.ok is False}
        if failed:
            return 3 if ACCURACY in failed else 4
        return 0 if self.verdict == "pass" else 1

    def of_accuracy(self) -> Verdict:
        """Return the checks of accuracy, and of whether the run was one at all."""
        kept = [c for c in self.checks if c.kind == ACCURACY or c.name.endswith(WHOLE_RUN)]
        return Verdict(tuple(kept))

    def reasons(self) -> str:
        """Return why it did not pass, in one line."""
        if self.verdict == "fail":
            wanted = [check for check in self.checks if check.ok is False]
        else:
            unmade = [check for check in self.checks if check.ok is None]
            wanted = [check for check in unmade if check.decides] or unmade
        found = [f"{check.name}: {check.why}" for check in wanted]
        return "; ".join(found) or "no limit is set"

    def summary(self) -> str:
        """Return one line: the verdict and how many checks there were."""
        n_unmade = sum(check.ok is None for check in self.checks)
        n_failed = sum(check.ok is False for check in self.checks)
        parts = [f"{len(self.checks)} checks"]
        parts += [f"{n_failed} failed"] if n_failed else []
        parts += [f"{n_unmade} not comparable"] if n_unmade else []
        return f"{self.verdict.replace('_', ' ')}: {', '.join(parts)}"

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
) -> Check:
    """Compare a value with its one limit; one that is missing fails."""
    word, limit = ("at least", low) if high == math.inf else ("at most", high)
    if value is None:
        return Check(name, kind, None, limit, False, f"the report has no {name}; measure it")
    why = f"{value:.6g}, expected {word} {limit:.6g}"
    return Check(name, kind, value, limit, low <= value <= high, why)
