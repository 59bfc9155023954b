"""`edgeseg prune`: take channels out of a trained network, or make it 2:4 sparse."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.common.options import (
    PATH,
    SIZE,
    AmountType,
    data_option,
    json_option,
    needs,
    refuse_given,
)
from edgeseg.cli.common.output import print_json, print_table, progress_bar, ratio, say
from edgeseg.cli.common.run_folder import run_folder, write_record
from edgeseg.cli.common.start import fitting, refuse_quantized
from edgeseg.cli.common.train_options import (
    BarListener,
    hold_out_option,
    mix_options,
    mixed_in,
    result_option,
    splits,
    training_crop_hw,
    training_options,
)
from edgeseg.core.files import atomic_write_text
from edgeseg.core.options import parse_ratios as layer_ratios
from edgeseg.errors import UsageError

if TYPE_CHECKING:
    from edgeseg.host.pruning.rounds import PruneResult

# Parameters that only a training reads.
TRAINING_ONLY = (
    "mix", "mix_share", "crop", "distill", "result", "batch", "lr", "photometry", "class_weights",
    "validate_every",
)  # fmt: skip


@click.command(
    name="prune",
    epilog="Example: edgeseg prune runs/train/segnet-basic/best.safetensors --target-macs 0.5 "
    "--data synthetic --epochs 5",
)
@click.argument("checkpoint", type=PATH)
@click.option("--ratio", "share", type=click.FloatRange(0, 1), help="Share of channels that go.")
@click.option("--target-macs", type=AmountType(), help="Most MACs left: a share, or such as 2.1G.")
@click.option("--target-params", type=AmountType(), help="Most parameters left, likewise.")
@click.option(
    "--importance",
    default="magnitude",
    show_default=True,
    help="What matters: magnitude, bn, taylor, fpgm, lamp or random.",
)
@click.option(
    "--scope",
    default="uniform",
    show_default=True,
    help="The same ratio everywhere (uniform) or one threshold over all layers (global).",
)
@click.option(
    "--layer-ratio",
    "layers",
    multiple=True,
    metavar="LAYER=RATIO",
    help="Ratio of the layers matching a name or pattern (*, ?); may be repeated.",
)
@click.option(
    "--max-ratio",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="No layer loses more than this share.",
)
@click.option(
    "--round-to",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Widths become multiples of this; 8, 16 or 32 suit INT8 kernels.",
)
@click.option("--sparsity", type=click.Choice(["2:4"]), help="Zero two of every four weights.")
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Narrow in this many steps, each followed by --epochs of training.",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Images of --data that --importance taylor and --repair look at.",
)
@click.option(
    "--repair",
    is_flag=True,
    help="Refit the weights that read removed channels to --images of --data (least squares).",
)
@data_option()
@mix_options
@hold_out_option
@click.option("--crop", type=SIZE, help="Size of the training crops.  [default: 256x320 or less]")
@click.option(
    "--distill",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Weight of the unpruned network's logits as a second target; 0 is none.",
)
@training_options(epochs=0, lr=5e-4, validate_every=5)
@result_option
@click.option("-o", "--out", type=PATH, help="Folder of the run.  [default: runs/prune/ARCH]")
@json_option
@needs("torch", "safetensors", "cv2", "torch_pruning")
def command(
    checkpoint: Path,
    share: float | None,
    target_macs: float | None,
    target_params: float | None,
    importance: str,
    scope: str,
    layers: tuple[str, ...],
    max_ratio: float,
    round_to: int,
    sparsity: str | None,
    rounds: int,
    images: int,
    repair: bool,
    data: str | None,
    mix: str | None,
    mix_share: float,
    hold_out: str | None,
    crop: tuple[int, int] | None,
    distill: float,
    epochs: int,
    batch: int,
    lr: float,
    photometry: str,
    class_weights: float,
    seed: int,
    device: str,
    validate_every: int,
    val_limit: int | None,
    resume: bool,
    result: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Narrow the float CHECKPOINT and, with --epochs, train what is left.

    The run's folder gets pruned.safetensors, widths.txt (what became of every layer), scores.json
    and env.json; with --epochs also best.safetensors, last.safetensors and the curves, for each of
    --rounds in a folder of its own. Go on with `edgeseg train --init` or `edgeseg qat`.
    """
    from edgeseg.cli.common.run_page import write_run_page
    from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
    from edgeseg.host.pruning.prune import PruneOptions
    from edgeseg.host.pruning.rounds import PRUNED, TABLE, PrunePlan, prune_in_rounds
    from edgeseg.host.training.augment import Augment
    from edgeseg.host.training.options import TrainOptions
    from edgeseg.host.training.train import LAST, STATE
    from edgeseg.host.training.validate import score_module

    options = PruneOptions(
        ratio=share or 0.0,
        target_macs=target_macs or 0.0,
        target_params=target_params or 0.0,
        importance=importance,
        scope=scope,
        layer_ratios=layer_ratios(layers),
        max_ratio=max_ratio,
        round_to=round_to,
        seed=seed,
        repair=repair,
    )
    start = load_checkpoint(checkpoint)
    refuse_quantized(start, checkpoint)
    spec = start.spec
    if hold_out and not data:
        raise UsageError("--hold-out leaves a drive out of --data; give --data")
    if not epochs:
        refuse_given(TRAINING_ONLY, "without --epochs nothing is trained")
    if data is None:
        refuse_given(("images", "val_limit"), "there is no --data")
    training, validation = (
        fitting(checkpoint, spec, *splits(data, hold_out, spec.size_hw, seed, val_limit))
        if data
        else (None, None)
    )
    fine_tune = TrainOptions(
        epochs=epochs,
        batch=batch,
        lr=lr,
        warmup_epochs=min(1.0, epochs / 10),
        class_weight_exponent=class_weights,
        augment=Augment(
            crop_hw=training_crop_hw(crop, spec.size_hw),
            photometry=photometry,
        ),
        validate_every=validate_every,
        seed=seed,
        device=device,
        distill=distill,
    ) if epochs else None  # fmt: skip
    plan = PrunePlan(options, rounds, sparsity or "", images, fine_tune, distill > 0, result)
    folder = run_folder("prune", spec.arch, out, used_by=(PRUNED, LAST, STATE), again=resume)
    with progress_bar("prune") as bar:
        pruned = prune_in_rounds(
            start,
            plan,
            folder,
            training,
            extra=mixed_in(mix, mix_share, training, spec.size_hw, seed) if training else (),
            validation=validation,
            resume=resume,
            progress=lambda done: bar.update(done, images),
            listener=lambda _: BarListener(bar, epochs, lines=not sys.stderr.isatty()),
        )
    atomic_write_text(folder / TABLE, pruned.table)
    say(f"widths, layer by layer: {folder / TABLE}")
    scores = dict(pruned.checkpoint.scores.get("validation") or {})
    if validation is not None and not pruned.trained:
        say("scoring the pruned network, which nothing has trained yet")
        module = module_from_checkpoint(pruned.checkpoint)
        scores = score_module(spec, module, validation).to_json()
    rows = [row for one in pruned.trained for row in one.rows]
    say(f"page: {write_run_page(folder, rows, scores, pruned.checkpoint, validation)}")
    _finish(pruned, folder, scores or None, as_json)


def _finish(
    result: PruneResult, folder: Path, scores: dict[str, Any] | None, as_json: bool
) -> None:
    before, after = result.before, result.after
    document = {
        "run": str(folder),
        "checkpoint": str(folder / result.file),
        "epochs": sum(len(one.rows) for one in result.trained),
        "seconds": sum(row.seconds for one in result.trained for row in one.rows),
        "before": dataclasses.asdict(before),
        "after": dataclasses.asdict(after),
        "macs_ratio": after.macs / before.macs,
        "params_ratio": after.params / before.params,
        "scores": scores,
    }
    write_record(folder, document)
    if as_json:
        print_json(document)
        return
    print_table(
        ("checkpoint", "MACs", "of before", "parameters", "of before", "mIoU"),
        [
            (
                folder / result.file,
                f"{after.macs / 1e6:.1f} M",
                ratio(after.macs / before.macs),
                f"{after.params / 1e6:.3f} M",
                ratio(after.params / before.params),
                ratio(scores["miou"]) if scores else None,
            )
        ],
    )
