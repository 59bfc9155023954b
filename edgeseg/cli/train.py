"""`edgeseg train`: a float network from a data set."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import click

from edgeseg.cli.common.options import PATH, SIZE, data_option, json_option, needs, refuse_given
from edgeseg.cli.common.output import progress_bar, say
from edgeseg.cli.common.run_folder import run_folder
from edgeseg.cli.common.start import fit_start, fitting, load_start
from edgeseg.cli.common.torchrun import first_of_ranks, joined_ranks
from edgeseg.cli.common.train_options import (
    BarListener,
    finish,
    hold_out_option,
    mix_options,
    mixed_in,
    parse_settings,
    result_options,
    splits,
    training_crop_hw,
    training_options,
)

DEFAULT_SIZE = (360, 480)


@click.command(
    name="train",
    epilog="Example: edgeseg train deeplabv3plus-mobilenetv2 --data synthetic --epochs 20",
)
@click.argument("arch")
@data_option(required=True)
@mix_options
@hold_out_option
@click.option(
    "--init",
    type=PATH,
    metavar="CHECKPOINT|NAME",
    help="Go on from a checkpoint or a model of the zoo, as a fine-tuning step: its size unless "
    "--size is given, its options and normalisation; other classes get a fresh last layer.",
)
@click.option(
    "--encoder-weights",
    type=PATH,
    metavar="FILE",
    help="Start the encoder from this state dict (.pth or .safetensors) of torchvision's VGG16, "
    "MobileNetV2 or ResNet, or of EfficientNet-Lite0 or -Lite2; fixed normalisation is then that "
    "file's.",
)
@click.option(
    "--encoder-lr",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    metavar="FACTOR",
    help="Learning rate of the encoder, as a factor of --lr; below 1 keeps more of what "
    "--encoder-weights brought.",
)
@click.option(
    "--teacher",
    "teachers",
    type=PATH,
    multiple=True,
    metavar="CHECKPOINT",
    help="A trained network to learn from beside the labels; several teach by their mean.",
)
@click.option(
    "--distill",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="Weight of what the --teacher says.",
)
@click.option(
    "--size", type=SIZE, help="Input of the network.  [default: 360x480, or that of --init]"
)
@click.option("--crop", type=SIZE, help="Size of the training crops.  [default: 256x320 or --size]")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the architecture, such as aspp_channels=96; may be repeated.",
)
@click.option(
    "--normalize",
    type=click.Choice(["fixed", "per_image"]),
    help="Fixed mean and deviation, or those of each frame.  [default: fixed, or that of --init]",
)
@click.option(
    "--classmix",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of crops over which half of the classes of another image's crop are pasted.",
)
@training_options(epochs=60, lr=2e-3, validate_every=5)
@result_options
@click.option("-o", "--out", type=PATH, help="Folder of the run.  [default: runs/train/ARCH]")
@json_option
@needs("torch", "safetensors", "cv2")
def command(
    arch: str,
    data: str,
    mix: str | None,
    mix_share: float,
    hold_out: str | None,
    init: Path | None,
    encoder_weights: Path | None,
    encoder_lr: float,
    teachers: tuple[Path, ...],
    distill: float,
    size: tuple[int, int] | None,
    crop: tuple[int, int] | None,
    settings: tuple[str, ...],
    normalize: str | None,
    photometry: str,
    classmix: float,
    class_weights: float,
    epochs: int,
    batch: int,
    lr: float,
    seed: int,
    device: str,
    validate_every: int,
    val_limit: int | None,
    result: str,
    stop_after: int | None,
    resume: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Train the architecture ARCH; `edgeseg models` lists them.

    The run's folder gets best.safetensors (by validation mIoU), last.safetensors, curves.png,
    curves.csv, scores.json and env.json. A killed run goes on with --resume to the same result.

    `torchrun --nproc-per-node N -m edgeseg train …` shares every batch, of --batch crops in all,
    among N processes: gloo on CPUs, nccl with --device cuda.
    """
    import torch

    from edgeseg.core.files import sha256_file
    from edgeseg.core.spec import ModelSpec, Preprocess
    from edgeseg.core.suggest import unknown
    from edgeseg.core.zoo import find_checkpoint
    from edgeseg.errors import UsageError
    from edgeseg.host.checkpoint import module_from_checkpoint
    from edgeseg.host.models import MODELS, build_model
    from edgeseg.host.models.pretrained import expected_statistics, load_encoder_weights
    from edgeseg.host.pruning.rounds import PRUNED
    from edgeseg.host.training.augment import Augment
    from edgeseg.host.training.options import TrainOptions
    from edgeseg.host.training.teachers import load_teachers
    from edgeseg.host.training.train import LAST, train

    if arch not in MODELS:
        raise UsageError(unknown("model", arch, MODELS))
    if init and encoder_weights:
        raise UsageError("--init and --encoder-weights both give the start; leave one out")
    if init and (settings or normalize):
        raise UsageError("--init has its own options and normalisation: no --set or --normalize")
    if not teachers:
        refuse_given(("distill",), "there is no --teacher")
    normalize = normalize or "fixed"
    given = parse_settings(settings)
    stride = given.pop("output_stride", MODELS.load(arch).stride)
    init = init and find_checkpoint(init)
    start = load_start(init, arch, size) if init else None
    size = size or (start.spec.size_hw if start else DEFAULT_SIZE)
    training, validation = splits(data, hold_out, size, seed, val_limit)
    torch.manual_seed(seed)
    if init and start:
        start = fit_start(start, init, training, quiet=not first_of_ranks())
        training, validation = fitting(init, start.spec, training, validation)
        spec, before = start.spec, start.steps
    else:
        spec = ModelSpec(
            arch,
            class_names=training.class_names,
            palette=training.palette,
            ignore_index=training.ignore_index,
            size_hw=size,
            preprocess=Preprocess(*expected_statistics(MODELS.load(arch)), normalize)
            if encoder_weights
            else Preprocess(normalize=normalize),
            output_stride=stride,
            options=given,
        )
        before = ()
    extra = mixed_in(mix, mix_share, training, size, seed)
    options = TrainOptions(
        epochs=epochs,
        batch=batch,
        lr=lr,
        encoder_lr=encoder_lr,
        # A short run must not end inside its warm-up.
        warmup_epochs=min(2.0, epochs / 10),
        class_weight_exponent=class_weights,
        augment=Augment(
            crop_hw=training_crop_hw(crop, size), photometry=photometry, classmix=classmix
        ),
        validate_every=validate_every,
        seed=seed,
        device=device,
        distill=distill,
    )
    teacher = load_teachers(teachers, spec)
    folder = run_folder("train", arch, out, used_by=(LAST, PRUNED), again=resume)
    torch.manual_seed(seed)
    module = module_from_checkpoint(start) if start else build_model(spec)
    loaded = load_encoder_weights(module, encoder_weights) if encoder_weights else None
    with joined_ranks(device) as (ranks, own_device), progress_bar("train") as bar:
        if ranks.first:
            if loaded:
                say(f"{encoder_weights}: {loaded.summary()}")
            images = f"{len(training)} images, {epochs} epochs"
            say(f"training {arch} on {training.name}: {images} -> {folder}")
        trained = train(
            spec,
            module,
            training,
            dataclasses.replace(options, device=own_device),
            folder,
            kind="finetune" if init else "train",
            steps_before=before,
            extra=extra,
            validation=validation,
            teacher=teacher,
            learnt_from={
                role: [sha256_file(path) for path in paths]
                for role, paths in (
                    ("start", [init] if init else []),
                    ("teachers", teachers),
                    ("encoder_weights", [encoder_weights] if encoder_weights else []),
                )
                if paths
            },
            resume=resume,
            stop_after=stop_after,
            ranks=ranks,
            listener=BarListener(bar, epochs, lines=not sys.stderr.isatty())
            if ranks.first
            else None,
        )
    if ranks.first:
        finish(trained, folder, as_json, validation, take=result)
