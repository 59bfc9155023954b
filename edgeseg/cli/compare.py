"""`edgeseg compare`: several training runs side by side."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import click

from edgeseg.cli.common.options import PATH, json_option
from edgeseg.cli.common.output import print_json, print_table, ratio, say
from edgeseg.errors import UsageError

COLUMNS = ("run", "epochs", "best epoch", "seconds", "mIoU", "G", "C")


@click.command(
    name="compare",
    epilog="Example: edgeseg compare runs/train/segnet runs/qat/segnet --html compare.html",
)
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN...")
@click.option("--html", type=PATH, help="Write a page with the curves of all runs.")
@json_option
def command(runs: tuple[Path, ...], html: Path | None, as_json: bool) -> None:
    """Set scores and curves of RUNs, folders of `train`, `prune` or `qat`, beside each other."""
    found = [_read(path) for path in runs]
    if html is not None:
        _write_page(html, found)
        say(f"page: {html}")
    if as_json:
        print_json({"runs": found})
        return
    print_table(COLUMNS, [_row(run) for run in found])


def _read(folder: Path) -> dict[str, Any]:
    """Return a run's record with its curve.

    Raises:
        UsageError: the folder holds no run.
    """
    try:
        record = json.loads((folder / "scores.json").read_text())
    except (OSError, ValueError) as error:
        raise UsageError(
            f"{folder} holds no finished run ({error}); give a folder of edgeseg train or qat"
        ) from error
    curve = folder / "curves.csv"
    lines = list(csv.DictReader(curve.read_text().splitlines())) if curve.is_file() else []
    return {
        "run": str(folder),
        "epochs": record.get("epochs"),
        "best_epoch": record.get("best_epoch"),
        "seconds": record.get("seconds"),
        "scores": record.get("scores") or {},
        "curve": [
            {
                "epoch": int(line["epoch"]),
                "loss": float(line["loss"]),
                "miou": float(line["miou"]) if line["miou"] else None,
            }
            for line in lines
        ],
    }


def _row(run: dict[str, Any]) -> tuple[object, ...]:
    scores, seconds = run["scores"], run["seconds"]
    return (
        run["run"],
        run["epochs"],
        run["best_epoch"],
        None if seconds is None else f"{seconds:.0f}",
        *(ratio(scores.get(key)) for key in ("miou", "global_accuracy", "class_accuracy")),
    )


def _write_page(path: Path, runs: list[dict[str, Any]]) -> None:
    import edgeseg
    from edgeseg.cli.pages.charts import line_chart
    from edgeseg.cli.pages.html import markup, write_page

    def chart(key: str) -> str:
        lines = [
            (run["run"], [(p["epoch"], p[key]) for p in run["curve"] if p[key] is not None])
            for run in runs
        ]
        return line_chart([line for line in lines if line[1]], "epoch", "")

    write_page(
        path,
        "compare.html",
        version=edgeseg.__version__,
        columns=COLUMNS,
        rows=[_row(run) for run in runs],
        miou=markup(chart("miou")),
        loss=markup(chart("loss")),
    )
