"""The job of `edgeseg compare`: read the records and curves of runs."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.errors import UsageError


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
    try:
        record = json.loads((folder / "scores.json").read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} holds no finished run ({error}); give a folder of edgeseg train or qat"
        ) from error
    curve = folder / "curves.csv"
    lines = list(csv.DictReader(curve.read_text().splitlines())) if curve.is_file() else []
    return RunRecord(
        str(folder),
        record.get("epochs"),
        record.get("best_epoch"),
        record.get("seconds"),
        record.get("scores") or {},
        [
            {
                "epoch": int(line["epoch"]),
                "loss": float(line["loss"]),
                "miou": float(line["miou"]) if line["miou"] else None,
            }
            for line in lines
        ],
    )
