"""`edgeseg compare`: several training runs side by side."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import PATH, json_option
from edgeseg.cli.common.output import print_json, print_table, ratio, say
from edgeseg.core.metrics import fewer_classes

if TYPE_CHECKING:
    from edgeseg.host.jobs.compare import RunRecord

COLUMNS = ("run", "epochs", "best epoch", "seconds", "mIoU", "G", "C")


@click.command(
    name="compare",
    cls=Verb,
    epilog="Example: edgeseg compare runs/train/segnet runs/qat/segnet --html compare.html",
)
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN...")
@click.option("--html", type=PATH, help="Write a page with the curves of all runs.")
@json_option
def command(runs: tuple[Path, ...], html: Path | None, as_json: bool) -> None:
    """Set scores and curves of RUNs, folders of `train`, `prune` or `qat`, beside each other."""
    from edgeseg.host.jobs.compare import compare_job

    found = compare_job(runs)
    if html is not None:
        _write_page(html, found)
        say(f"page: {html}")
    if as_json:
        print_json({"runs": [dataclasses.asdict(run) for run in found]})
        return
    print_table(COLUMNS, [_row(run) for run in found])
    for run in found:
        if said := fewer_classes(run.scores.get("per_class_iou") or ()):
            say(f"{run.run}: {said}")


def _row(run: RunRecord) -> tuple[object, ...]:
    return (
        run.run,
        run.epochs,
        run.best_epoch,
        None if run.seconds is None else f"{run.seconds:.0f}",
        *(ratio(run.scores.get(key)) for key in ("miou", "global_accuracy", "class_accuracy")),
    )


def _write_page(path: Path, runs: Sequence[RunRecord]) -> None:
    import edgeseg
    from edgeseg.cli.pages.html import markup, write_page
    from edgeseg.core.charts import line_chart

    def chart(key: str) -> str:
        lines = [
            (run.run, [(p["epoch"], p[key]) for p in run.curve if p[key] is not None])
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
