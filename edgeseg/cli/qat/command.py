"""`edgeseg qat`: train a network further with INT8 rounding in it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import click

from edgeseg.cli.common.options import PATH, SIZE, data_option, json_option, needs, refuse_given
from edgeseg.cli.common.quantize_options import quantize_options
from edgeseg.cli.common.train_options import (
    finish,
    mix_options,
    mixed_in,
    result_options,
    training_options,
)
from edgeseg.host.training.run_folder import run_folder

# Each layer costs two runs of about half the network on every image.
RANKING_IMAGES = 20


@click.command(
    name="qat",
    epilog="Example: edgeseg qat runs/train/segnet-basic/best.safetensors --data synthetic",
)
@click.argument("checkpoint", type=PATH)
@data_option(required=True)
@mix_options
@quantize_options
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Images of --data that calibrate those ranges.",
)
@click.option(
    "--scales",
    type=click.Choice(["calibrated", "ema", "learned"]),
    default="calibrated",
    show_default=True,
    help="Ranges stay as calibrated, follow the batches and freeze, or are trained (LSQ).",
)
@click.option(
    "--freeze-after",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.5,
    show_default=True,
    help="With --scales ema: share of the epochs after which ranges freeze.",
)
@click.option(
    "--weights-first",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    help="Share of the epochs that round weights only.",
)
@click.option(
    "--keep-float",
    multiple=True,
    metavar="LAYER",
    help="Leave this convolution in float; may be repeated. 'auto' picks few for --max-drop.",
)
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0),
    default=0.005,
    show_default=True,
    help="With --keep-float auto: mIoU that calibration alone may lose against float.",
)
@click.option(
    "--sensitivity",
    is_flag=True,
    help="Only rank the layers by the mIoU they lose in INT8, on --val-limit images or 20; with "
    "--keep-float auto, pick as well.",
)
@click.option(
    "--compare-ptq",
    is_flag=True,
    help="Only fill the table float / PTQ by observer and refinement / QAT; resumes by itself.",
)
@click.option("--crop", type=SIZE, help="Size of the training crops.  [default: 256x320 or less]")
@click.option(
    "--distill",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Weight of the float network's logits as a second target; 0 is none.",
)
@click.option(
    "--distill-features",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Weight of the float network's features as a further target; 0 is none.",
)
@training_options(epochs=10, lr=5e-5, validate_every=1)
@result_options
@click.option("-o", "--out", type=PATH, help="Folder of the run.  [default: runs/qat/ARCH]")
@json_option
@needs("torch", "safetensors", "cv2")
def command(
    checkpoint: Path,
    data: str,
    mix: str | None,
    mix_share: float,
    observer: str,
    percentile: float,
    equalize: bool,
    bias_correct: bool,
    adaround: bool,
    adaround_steps: int,
    images: int,
    scales: str,
    freeze_after: float,
    weights_first: float,
    keep_float: tuple[str, ...],
    max_drop: float,
    sensitivity: bool,
    compare_ptq: bool,
    crop: tuple[int, int] | None,
    distill: float,
    distill_features: float,
    epochs: int,
    batch: int,
    lr: float,
    photometry: str,
    class_weights: float,
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
    """Quantize the float CHECKPOINT and train it on with fake INT8 in the loop.

    Batch norms are folded, Q/DQ are placed and calibrated on --data, then the weights adapt. The
    result carries its scales: `edgeseg export --int8` needs no calibration data for it.
    """
    from edgeseg.cli.qat.compare import compare
    from edgeseg.cli.qat.job import QatJob, quantized_as
    from edgeseg.cli.qat.sensitivity import picked, ranked, report
    from edgeseg.core.data.open import open_dataset
    from edgeseg.core.files import sha256_file
    from edgeseg.errors import UsageError
    from edgeseg.host.checkpoint import load_checkpoint, load_float_checkpoint
    from edgeseg.host.pruning.rounds import PRUNED
    from edgeseg.host.quantization.quantize import QuantizeOptions
    from edgeseg.host.training.augment import Augment
    from edgeseg.host.training.data import fitting, training_crop_hw
    from edgeseg.host.training.options import TrainOptions
    from edgeseg.host.training.train import LAST
    from edgeseg.host.training.validate import check_labelled

    automatic = "auto" in keep_float
    if automatic and len(keep_float) > 1:
        raise UsageError("--keep-float auto stands alone; give it, or names of layers")
    if automatic and compare_ptq:
        raise UsageError("--compare-ptq compares one choice of layers; name those of --keep-float")
    if sensitivity and keep_float and not automatic:
        raise UsageError("--sensitivity ranks every layer; give --keep-float auto, or leave it out")
    if sensitivity and compare_ptq:
        raise UsageError("--sensitivity and --compare-ptq are two runs; give one of them")
    if observer != "percentile" and not compare_ptq:
        refuse_given(("percentile",), "--observer is another")
    if not adaround:
        refuse_given(("adaround_steps",), "there is no --adaround")
    if scales != "ema":
        refuse_given(("freeze_after",), "--scales is not ema")
    if not automatic:
        refuse_given(("max_drop",), "there is no --keep-float auto")
    choice = QuantizeOptions(
        observer=observer,
        percentile=percentile,
        keep_float=() if automatic else keep_float,
        equalize=equalize,
        bias_correct=bias_correct,
        adaround=adaround_steps if adaround else 0,
        learned_scales=scales == "learned",
    )
    loaded = load_float_checkpoint(checkpoint)
    spec = loaded.spec
    training = open_dataset(data, "train", size_hw=spec.size_hw, seed=seed)
    limit = val_limit or (RANKING_IMAGES if sensitivity or automatic else None)
    validation = open_dataset(data, "val", size_hw=spec.size_hw, seed=seed, limit=limit)
    training, validation = fitting(checkpoint, spec, training, validation)
    options = TrainOptions(
        epochs=epochs,
        batch=batch,
        lr=lr,
        warmup_epochs=0,
        class_weight_exponent=class_weights,
        augment=Augment(
            crop_hw=training_crop_hw(crop, spec.size_hw),
            photometry=photometry,
        ),
        validate_every=validate_every,
        seed=seed,
        device=device,
        distill=distill,
        distill_features=distill_features,
        weights_first=weights_first,
        follow_ranges=freeze_after if scales == "ema" else 0.0,
    )
    extra = mixed_in(mix, mix_share, training, spec.size_hw, seed)
    asks = sensitivity or compare_ptq
    # Questions leave files of their own beside whatever is there.
    used_by = (LAST,) if asks else (LAST, PRUNED)
    folder = run_folder("qat", spec.arch, out, used_by=used_by, again=resume or asks)
    job = QatJob(
        loaded, sha256_file(checkpoint), training, validation, extra, choice, images, options
    )
    if asks or automatic:
        check_labelled(validation)
    if compare_ptq:
        compare(job, checkpoint, folder, as_json)
        return
    if sensitivity:
        found = ranked(job, checkpoint, folder)
        report(found, folder, as_json, picked(job, found, max_drop) if automatic else None)
        return
    if automatic:
        if resume and (folder / LAST).is_file():
            kept = quantized_as(load_checkpoint(folder / LAST)).keep_float
        else:
            kept = picked(job, ranked(job, checkpoint, folder), max_drop)
        (whole,) = fitting(
            checkpoint,
            spec,
            open_dataset(data, "val", size_hw=spec.size_hw, seed=seed, limit=val_limit),
        )
        job = dataclasses.replace(
            job, choice=dataclasses.replace(choice, keep_float=kept), validation=whole
        )
    trained = job.run(folder, resume=resume, stop_after=stop_after)
    finish(trained, folder, as_json, validation, take=result)
