"""The job of `edgeseg compare`: read the records and curves of runs."""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.files.bounded import is_number, read_json, read_text
from edgeseg.errors import UsageError

# No run has more epochs or seconds.
MOST = 1e12
SCORES = ("miou", "global_accuracy", "class_accuracy")


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
    file = folder / "scores.json"
    if not file.is_file():
        raise UsageError(f"{folder} holds no finished run; {advice}")
    record = read_json(file, UsageError, advice=advice)
    scores = record.get("scores") or {} if isinstance(record, dict) else None
    if not isinstance(scores, dict):
        raise UsageError(f"{file} holds no scores; {advice}")
    scores = {
        key: _number(value, float) if key in SCORES else value for key, value in scores.items()
    }
    return RunRecord(
        str(folder),
        _number(record.get("epochs"), int),
        _number(record.get("best_epoch"), int),
        _number(record.get("seconds"), float),
        scores,
        _curve(folder / "curves.csv"),
    )


def _curve(file: Path) -> list[dict[str, Any]]:
    """Read the curves; lines that are damaged are passed over, so that the rest is drawn."""
    if not file.is_file():
        return []
    text = read_text(file, UsageError, advice="remove it", errors="replace")
    found = []
    try:
        for line in csv.DictReader(text.splitlines()):
            with contextlib.suppress(KeyError, TypeError, ValueError, OverflowError):
                epoch, loss = int(line["epoch"]), float(line["loss"])
                miou = float(line["miou"]) if line["miou"] else None
                if all(map(math.isfinite, (epoch, loss, miou or 0.0))):
                    found.append({"epoch": epoch, "loss": loss, "miou": miou})
    except csv.Error as error:
        raise UsageError(f"{file} is no table ({error}); remove it to compare without") from error
    return found


def _number(value: Any, kind: type[float]) -> Any:
    """Return a number of the record, None for anything else."""
    return kind(value) if is_number(value) and abs(value) < MOST else None
