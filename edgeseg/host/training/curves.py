"""Training curves: one row an epoch, as CSV and as an SVG drawing."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.charts import line_chart, standalone
from edgeseg.core.files import atomic_write_text
from edgeseg.core.metrics import counted_metrics


@dataclasses.dataclass(frozen=True)
class EpochRow:
    """What one epoch gave.

    Attributes:
        epoch: counted from 1.
        loss: mean training loss.
        lr: learning rate of the last step.
        seconds: wall time, validation included.
        scores: validation scores, or None where none was run.
    """

    epoch: int
    loss: float
    lr: float
    seconds: float
    scores: Mapping[str, Any] | None = None

    @property
    def miou(self) -> float:
        """Validation mIoU, -1 where none was run or no pixel had a label."""
        found = self.scores["miou"] if self.scores else None
        return -1.0 if found is None else float(found)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EpochRow:
        """Build a row from to_json's document."""
        return cls(**document)


def write_curves(run_dir: Path, rows: Sequence[EpochRow]) -> None:
    """Write curves.csv and curves.svg into `run_dir`; there is a row or more."""
    text = io.StringIO()
    writer = csv.writer(text)
    metrics = counted_metrics()
    writer.writerow(["epoch", "loss", "lr", "seconds", *metrics])
    for row in rows:
        scores = row.scores or {}
        writer.writerow(
            [row.epoch, f"{row.loss:.5f}", f"{row.lr:.6g}", f"{row.seconds:.1f}"]
            + ["" if scores.get(key) is None else f"{scores[key]:.5f}" for key in metrics]
        )
    atomic_write_text(run_dir / "curves.csv", text.getvalue())
    loss = [(float(row.epoch), row.loss) for row in rows]
    miou = [(float(row.epoch), row.miou) for row in rows if row.scores]
    charts = [line_chart([("training loss", loss)], "epoch", "loss", best=min)]
    if miou:
        charts.append(line_chart([("validation mIoU", miou)], "epoch", "mIoU", best=max))
    atomic_write_text(run_dir / "curves.svg", standalone(charts))
