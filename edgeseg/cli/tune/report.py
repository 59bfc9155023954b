"""What `tune` tells of its trials: a line each, the tables, and the plot of cost against score."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.core.files import atomic_write_bytes, atomic_write_text

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from edgeseg.cli.tune.job import TuneJob

TRIED = "tried.json"


def write_tried(
    job: TuneJob, trials: list[FrozenTrial], reference: tuple[float, float], target: float
) -> list[dict[str, Any]]:
    """Write what was tried as JSON, text and a plot; return the rows."""
    from edgeseg.host.tuning.search import candidate_of, pareto

    rows = []
    for trial in trials:
        tried = "candidate" in trial.user_attrs
        candidate = candidate_of(trial) if tried else None
        rows.append(
            {
                "trial": trial.number,
                "state": trial.state.name.lower(),
                "cost": candidate.cost if candidate else None,
                "miou": trial.value,
                "drop": reference[1] - trial.value if trial.value is not None else None,
                "parameters": dict(trial.params),
                "ratios": dict(candidate.ratios) if candidate else {},
                "keep_float": list(candidate.keep_float) if candidate else [],
            }
        )
    atomic_write_text(job.folder / TRIED, json.dumps(rows, indent=1) + "\n")
    lines = [f"trial  state     cost {job.unit:12}  mIoU    drop    parameters"]
    for row in rows:
        cost = "-" if row["cost"] is None else f"{row['cost']:.5g}"
        miou, drop = ("-" if row[k] is None else f"{row[k]:.4f}" for k in ("miou", "drop"))
        chosen = ", ".join(
            f"{name} {value:.2f}" if isinstance(value, float) else name
            for name, value in row["parameters"].items()
            if value is not False
        )
        lines.append(f"{row['trial']:5}  {row['state']:8}  {cost:17}  {miou:6}  {drop:6}  {chosen}")
    atomic_write_text(job.folder / "tried.txt", "\n".join(lines) + "\n")
    points = [(row["cost"], row["miou"]) for row in rows if row["miou"] is not None]
    if points:
        plot(job.folder / "pareto.png", points, pareto(points), job.unit, reference, target)
    return rows


def ended(rows: Sequence[Mapping[str, Any]]) -> int:
    """Return how many trials came to an end; killed and waiting ones did not."""
    return sum(row["state"] in ("complete", "pruned") for row in rows)


def trial_line(row: dict[str, Any], unit: str) -> str:
    """Return what became of one trial, a row of write_tried."""
    name, cost, miou = f"trial {row['trial']}", row["cost"], row["miou"]
    if cost is None or miou is None:
        return f"{name}: the target is out of its reach"
    return f"{name}: {cost:.4g} {unit}, mIoU {miou:.4f} ({-row['drop']:+.4f})"


def plot(path: Path, points: Sequence[tuple[float, float]], front: Sequence[int], unit: str,
         reference: tuple[float, float], target: float) -> None:  # fmt: skip
    """Draw cost against score with the Pareto front, where matplotlib is installed."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        return
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.add_subplot(xlabel=f"cost, {unit}", ylabel="validation mIoU")
    axes.plot(*zip(*points, strict=True), "o", color="tab:gray", label="tried")
    line = sorted(points[index] for index in front)
    axes.plot(*zip(*line, strict=True), "o-", color="tab:orange", label="not beaten on both")
    axes.plot(*reference, "s", color="tab:blue", label="unpruned")
    axes.axvline(target, color="tab:red", linestyle="--", label="target")
    axes.legend()
    buffer = io.BytesIO()
    FigureCanvasAgg(figure).print_png(buffer)
    atomic_write_bytes(path, buffer.getvalue())
