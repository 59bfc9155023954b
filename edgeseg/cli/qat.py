"""`edgeseg qat`: train a network further with INT8 rounding in it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from edgeseg.cli.options import PATH, SIZE, data_option, json_option, needs
from edgeseg.cli.output import progress_bar, say
from edgeseg.cli.run_folder import run_folder
from edgeseg.cli.training import (
    BarListener,
    finish,
    mix_options,
    mixed_in,
    training_options,
)


@click.command(
    name="qat",
    epilog="Example: edgeseg qat runs/train/segnet-basic/best.safetensors --data synthetic",
)
@click.argument("checkpoint", type=PATH)
@data_option(required=True)
@mix_options
@click.option(
    "--observer",
    default="entropy",
    show_default=True,
    help="How ranges are first chosen: max, percentile, entropy or mse.",
)
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Images of --data that calibrate those ranges.",
)
@click.option("--crop", type=SIZE, help="Size of the training crops.  [default: 256x320 or less]")
@click.option(
    "--distill",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Weight of the float network's logits as a second target; 0 is none.",
)
@training_options(epochs=10, lr=5e-5, validate_every=1)
@click.option("-o", "--out", type=PATH, help="Folder of the run.  [default: runs/qat/ARCH]")
@json_option
@needs("torch", "safetensors", "cv2")
def command(
    checkpoint: Path,
    data: str,
    mix: str | None,
    mix_share: float,
    observer: str,
    images: int,
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
    out: Path | None,
    as_json: bool,
) -> None:
    """Quantize the float CHECKPOINT and train it on with fake INT8 in the loop.

    Batch norms are folded, Q/DQ are placed and calibrated on --data, then the weights adapt. The
    result carries its scales: `edgeseg export --int8` needs no calibration data for it.
    """
    from edgeseg.cli.quantization import calibration_frames, quantize_step
    from edgeseg.core.dataset import open_dataset
    from edgeseg.errors import UsageError
    from edgeseg.host.augment import Augment
    from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
    from edgeseg.host.quantize import QuantizeOptions
    from edgeseg.host.train import LAST, TrainOptions, train

    choice = QuantizeOptions(observer=observer)
    loaded = load_checkpoint(checkpoint)
    if loaded.quantized:
        raise UsageError(f"{checkpoint} is quantized already; give the float checkpoint")
    spec = loaded.spec
    training = open_dataset(data, "train", size_hw=spec.size_hw, seed=seed)
    validation = open_dataset(data, "val", size_hw=spec.size_hw, seed=seed, limit=val_limit)
    extra = mixed_in(mix, mix_share, spec.size_hw, seed)
    options = TrainOptions(
        epochs=epochs,
        batch=batch,
        lr=lr,
        warmup_epochs=0,
        class_weight_exponent=class_weights,
        augment=Augment(
            crop_hw=crop or (min(256, spec.size_hw[0]), min(320, spec.size_hw[1])),
            photometry=photometry,
        ),
        validate_every=validate_every,
        seed=seed,
        device=device,
        distill=distill,
    )
    folder = run_folder("qat", spec.arch, out, used_by=LAST, again=resume)
    teacher = module_from_checkpoint(loaded)
    with progress_bar("calibrate", images) as bar:
        frames = calibration_frames(spec, training, images)
        module, step = quantize_step(teacher, spec, choice, frames, bar.update)
    say(f"training {spec.arch} in INT8 on {training.name}: {epochs} epochs -> {folder}")
    with progress_bar("qat") as bar:
        result = train(
            spec,
            module,
            training,
            options,
            folder,
            kind="qat",
            steps_before=(*loaded.steps, step),
            extra=extra,
            validation=validation,
            teacher=teacher if distill else None,
            resume=resume,
            listener=BarListener(bar, epochs, lines=not sys.stderr.isatty()),
        )
    finish(result, folder, as_json)
