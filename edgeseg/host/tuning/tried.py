"""Record of what a search tried: a row for each trial, as JSON and as a table of text."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial

from edgeseg.core.files import atomic_write_text
from edgeseg.host.tuning.search import candidate_of

TRIED, TEXT = "tried.json", "tried.txt"


@dataclasses.dataclass(frozen=True)
class Tried:
    """What a search has tried so far.

    Attributes:
        folder: of the run.
        unit: what a cost counts.
        dense: cost of the network as it is.
        reference: its validation mIoU.
        target: the most that a candidate may cost.
        rows: one a trial; cost and miou are None where the target was out of its reach.
    """

    folder: Path
    unit: str
    dense: float
    reference: float
    target: float
    rows: Sequence[Mapping[str, Any]] = ()

    @property
    def ended(self) -> int:
        """How many trials came to an end; killed and waiting ones did not."""
        return sum(row["state"] in ("complete", "pruned") for row in self.rows)

    @property
    def points(self) -> list[tuple[float, float]]:
        """Cost and mIoU of the trials that were scored."""
        return [(row["cost"], row["miou"]) for row in self.rows if row["miou"] is not None]

    def with_trials(self, trials: Sequence[FrozenTrial]) -> Tried:
        """Return the same with these trials' rows, and write them as JSON and as text."""
        tried = dataclasses.replace(self, rows=[self._row(trial) for trial in trials])
        atomic_write_text(self.folder / TRIED, json.dumps(list(tried.rows), indent=1) + "\n")
        atomic_write_text(self.folder / TEXT, tried.to_text())
        return tried

    def _row(self, trial: FrozenTrial) -> dict[str, Any]:
        candidate = candidate_of(trial) if "candidate" in trial.user_attrs else None
        return {
            "trial": trial.number,
            "state": trial.state.name.lower(),
            "cost": candidate.cost if candidate else None,
            "miou": trial.value,
            "drop": self.reference - trial.value if trial.value is not None else None,
            "parameters": dict(trial.params),
            "ratios": dict(candidate.ratios) if candidate else {},
            "keep_float": list(candidate.keep_float) if candidate else [],
        }

    def to_text(self) -> str:
        """Return the rows as a table."""
        lines = [f"trial  state     cost {self.unit:12}  mIoU    drop    parameters"]
        for row in self.rows:
            cost = "-" if row["cost"] is None else f"{row['cost']:.5g}"
            miou, drop = ("-" if row[k] is None else f"{row[k]:.4f}" for k in ("miou", "drop"))
            chosen = ", ".join(
                f"{name} {value:.2f}" if isinstance(value, float) else name
                for name, value in row["parameters"].items()
                if value is not False
            )
            lines.append(
                f"{row['trial']:5}  {row['state']:8}  {cost:17}  {miou:6}  {drop:6}  {chosen}"
            )
        return "\n".join(lines) + "\n"

    def line(self, number: int) -> str:
        """Return what became of one trial."""
        row = self.rows[number]
        name, cost, miou = f"trial {row['trial']}", row["cost"], row["miou"]
        if cost is None or miou is None:
            return f"{name}: the target is out of its reach"
        return f"{name}: {cost:.4g} {self.unit}, mIoU {miou:.4f} ({-row['drop']:+.4f})"
