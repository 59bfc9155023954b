"""The job of `edgeseg compare`: read the records and curves of runs."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.files.bounded import TEXT_BYTES, read_bytes, read_json
from edgeseg.errors import UsageError

# No run has more epochs or seconds.
MOST = 1e12


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """What a finished run left in its folder.

    Attributes:
        run: the folder.
        epochs: of its training; None where there was none.
        best_epoch: the one with the best validation.
        seconds: that the training took.
        scores: of the result, as Scores.to_json gives them; may be empty.
        curve: for each epoch its number "epoch", "loss" and "miou", None where none was measured.
    """

    run: str
    epochs: int | None
    best_epoch: int | None
    seconds: float | None
    scores: Mapping[str, Any]
    curve: Sequence[Mapping[str, Any]]


def compare_job(runs: Iterable[Path]) -> list[RunRecord]:
    """Read the folders of runs.

    Raises:
        UsageError: a folder holds no finished run.
    """
    return [_read(folder) for folder in runs]


def _read(folder: Path) -> RunRecord:
    advice = "give the folder of a finished edgeseg train, prune or qat"
    record = read_json(folder / "scores.json", UsageError, advice=advice)
    scores = record.get("scores") or {} if isinstance(record, dict) else None
    if not isinstance(scores, dict):
        raise UsageError(f"{folder / 'scores.json'} holds no scores; {advice}")
    return RunRecord(
        str(folder),
        _number(record.get("epochs"), int),
        _number(record.get("best_epoch"), int),
        _number(record.get("seconds"), float),
        scores,
        _curve(folder / "curves.csv"),
    )


def _curve(path: Path) -> list[dict[str, Any]]:
    """Read the epochs of a curve; one that is damaged ends it."""
    rows: list[dict[str, Any]] = []
    if not path.is_file():
        return rows
    text = read_bytes(path, UsageError, most=TEXT_BYTES, advice="give another run")
    try:
        for line in csv.DictReader(text.decode(errors="replace").splitlines()):
            epoch, loss = int(line["epoch"]), float(line["loss"])
            miou = float(line["miou"]) if line["miou"] else None
            if not math.isfinite(loss) or not math.isfinite(miou or 0):
                break
            rows.append({"epoch": epoch, "loss": loss, "miou": miou})
    except (KeyError, TypeError, ValueError, OverflowError, csv.Error):
        # An epoch that was cut off; those before it are shown.
        pass
    return rows


def _number(value: Any, kind: type[float]) -> Any:
    """Return a number of the record, None for anything else."""
    sound = isinstance(value, (int, float)) and not isinstance(value, bool)
    return kind(value) if sound and abs(value) < MOST else None
