"""`edgeseg balance`: trade rare classes found against mIoU, without training."""

from __future__ import annotations

from pathlib import Path

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs
from edgeseg.cli.common.output import print_json, print_table, ratio, shown
from edgeseg.core.metrics import counted_metrics, symbols
from edgeseg.host.jobs.options import BalanceJobOptions


@click.command(
    name="balance",
    cls=Verb,
    epilog="Example: edgeseg balance runs/qat/segnet-basic/best.safetensors --data synthetic "
    "--take-back 0.25",
)
@job_options(BalanceJobOptions, out="runs/balance/ARCH")
@json_option
@needs("torch", "safetensors", "cv2")
def command(options: BalanceJobOptions, as_json: bool) -> None:
    """Trade rare classes found against mIoU: shift the class scores of CHECKPOINT.

    CHECKPOINT is a file, float or INT8, or a zoo name. Class weights make training find rare
    classes, and name them where they are not. What they added to a class's score can be taken back
    in part, or raised, by the last layer's bias: no training, no cost on the device. Frequencies
    are those of --data's training images. The table is measured on its validation images; pick on
    data that you do not report, such as --hold-out.
    """
    from edgeseg.host.jobs.balance import balance_job

    with shown() as progress:
        result = balance_job(options, progress)
    if as_json:
        print_json(result.document)
        return
    metrics = counted_metrics()
    print_table(
        ("take back", *symbols(metrics), ""),
        [
            (
                f"{row['take_back']:g}",
                *(ratio(row[key]) for key in metrics),
                _remark(row["take_back"], options.take_back, result.checkpoint),
            )
            for row in result.rows
        ],
        title=result.data,
    )


def _remark(amount: float, taken: float | None, written: Path | None) -> str:
    if amount == taken:
        return str(written)
    return "as it is" if amount == 0 else ""
