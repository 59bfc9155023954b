"""`edgeseg balance`: trade rare classes found against mIoU, without training."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import click

from edgeseg.cli.common.options import PATH, data_option, json_option, needs, refuse_given
from edgeseg.cli.common.output import print_json, print_table, progress_bar, ratio
from edgeseg.cli.common.run_folder import run_folder, write_record
from edgeseg.cli.common.start import fitting
from edgeseg.cli.common.train_options import hold_out_option, splits
from edgeseg.errors import UsageError

# What the table shows beside --take-back: nothing, up to all that --class-weights 0.5 added, and
# some in the other direction.
SHOWN = (-0.25, -0.125, 0.0, 0.125, 0.25, 0.375, 0.5)
BALANCED = "balanced.safetensors"
HEADLINES = ("global_accuracy", "class_accuracy", "miou")


@click.command(
    name="balance",
    epilog="Example: edgeseg balance runs/qat/segnet-basic/best.safetensors --data synthetic "
    "--take-back 0.25",
)
@click.argument("checkpoint", type=PATH)
@data_option(required=True)
@hold_out_option
@click.option(
    "--val-limit",
    type=click.IntRange(min=1),
    help="Score on this many images, spread evenly.",
)
@click.option(
    "--take-back",
    type=float,
    metavar="EXPONENT",
    help="Write the network with so much of the class weights taken off its scores: 0.5 undoes "
    "--class-weights 0.5, less than 0 finds more of the rare classes.",
)
@click.option(
    "-o",
    "--out",
    type=PATH,
    help="Folder of the result; an earlier one there is replaced.  [default: runs/balance/ARCH]",
)
@json_option
@needs("torch", "safetensors", "cv2")
def command(
    checkpoint: Path,
    data: str,
    hold_out: str | None,
    val_limit: int | None,
    take_back: float | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Trade rare classes found against mIoU: shift the class scores of CHECKPOINT.

    CHECKPOINT is a file, float or INT8, or a zoo name. Class weights make training find rare
    classes, and name them where they are not. What they added to a class's score can be taken back
    in part, or raised, by the last layer's bias: no training, no cost on the device. Frequencies
    are those of --data's training images. The table is measured on its validation images; pick on
    data that you do not report, such as --hold-out.
    """
    from edgeseg.core.zoo import find_checkpoint
    from edgeseg.host.checkpoint import load_checkpoint, save_checkpoint
    from edgeseg.host.pruning.rounds import PRUNED
    from edgeseg.host.training.balance import balanced, check_balanced, sweep
    from edgeseg.host.training.losses import median_frequency_weights
    from edgeseg.host.training.objective import WEIGHT_SAMPLES
    from edgeseg.host.training.train import LAST
    from edgeseg.host.training.validate import check_labelled

    if take_back is not None and not math.isfinite(take_back):
        raise UsageError(f"--take-back is {take_back}, expected such as 0.25")
    if take_back is None:
        refuse_given(("out",), "nothing is written without --take-back")
    checkpoint = find_checkpoint(checkpoint)
    start = load_checkpoint(checkpoint)
    check_balanced(start)
    spec = start.spec
    training, validation = fitting(
        checkpoint, spec, *splits(data, hold_out, spec.size_hw, 0, val_limit)
    )
    check_labelled(validation)
    written = None
    if take_back is not None:
        folder = run_folder("balance", spec.arch, out, used_by=(BALANCED, LAST, PRUNED), again=True)
        written = folder / BALANCED
        if written.resolve() == checkpoint.resolve():
            raise UsageError(
                f"the result would replace {checkpoint}, which is read; give another -o"
            )
    weights = median_frequency_weights(training, limit=WEIGHT_SAMPLES)
    amounts = sorted({*SHOWN, *(() if take_back is None else (take_back,))})
    with progress_bar("balance", len(validation)) as bar:
        found = sweep(start, validation, weights, amounts, progress=bar.update)
    rows = [
        {"take_back": amount, **scores.to_json()}
        for amount, scores in zip(amounts, found, strict=True)
    ]
    if written and take_back is not None:
        taken = rows[amounts.index(take_back)]
        result = balanced(start, weights, take_back)
        result = dataclasses.replace(result, scores={"validation": taken})
        save_checkpoint(written, result)
        write_record(written.parent, {"checkpoint": str(written), "scores": taken})
    if as_json:
        print_json(
            {
                "checkpoint": str(written) if written else None,
                "data": validation.name,
                "n_images": len(validation),
                "class_weights": dict(zip(spec.class_names, weights.tolist(), strict=True)),
                "rows": rows,
            }
        )
        return
    print_table(
        ("take back", "G", "C", "mIoU", ""),
        [
            (
                f"{row['take_back']:g}",
                *(ratio(row[key]) for key in HEADLINES),
                _remark(row["take_back"], take_back, written),
            )
            for row in rows
        ],
        title=validation.name,
    )


def _remark(amount: float, taken: float | None, written: Path | None) -> str:
    if amount == taken:
        return str(written)
    return "as it is" if amount == 0 else ""
