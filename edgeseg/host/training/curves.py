"""Training curves: one row an epoch, as CSV and as a picture."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_bytes, atomic_write_text


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
    """Write curves.csv and, where matplotlib is installed, curves.png into `run_dir`."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["epoch", "loss", "lr", "seconds", "global_accuracy", "class_accuracy", "miou"])
    for row in rows:
        scores = row.scores or {}
        writer.writerow(
            [row.epoch, f"{row.loss:.5f}", f"{row.lr:.6g}", f"{row.seconds:.1f}"]
            + [
                "" if scores.get(key) is None else f"{scores[key]:.5f}"
                for key in ("global_accuracy", "class_accuracy", "miou")
            ]
        )
    atomic_write_text(run_dir / "curves.csv", text.getvalue())
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(7, 4), layout="constrained")
    left = figure.add_subplot(xlabel="epoch", ylabel="training loss")
    (loss_line,) = left.plot([r.epoch for r in rows], [r.loss for r in rows], color="tab:blue")
    right = left.twinx()
    scored = [row for row in rows if row.scores]
    (miou_line,) = right.plot(
        [r.epoch for r in scored], [r.miou for r in scored], "o-", color="tab:orange", markersize=3
    )
    right.set_ylabel("validation mIoU")
    right.set_ylim(0, 1)
    left.legend([loss_line, miou_line], ["loss", "mIoU"], loc="center right")
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    atomic_write_bytes(run_dir / "curves.png", buffer.getvalue())
