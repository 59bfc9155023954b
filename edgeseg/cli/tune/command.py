"""`edgeseg tune`: search what to prune and what to leave in float, to meet a budget."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeseg.cli.common.options import (
    PATH,
    SEED,
    SIZE,
    AmountType,
    data_option,
    json_option,
    needs,
    refuse_given,
    typed_command,
)
from edgeseg.cli.common.output import print_json, print_table, progress_bar, ratio, say
from edgeseg.cli.tune.report import TRIED, ended, trial_line, write_tried
from edgeseg.core.files import atomic_write_text
from edgeseg.errors import AccuracyMissed, LatencyMissed, UsageError
from edgeseg.host.training.run_folder import run_folder, write_record

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

    from edgeseg.cli.tune.job import TuneJob


@click.command(
    name="tune",
    epilog="Example: edgeseg tune runs/train/segnet-basic/best.safetensors --data synthetic "
    "--target-ms 8 --backend openvino --precision int8 --max-drop 0.01",
)
@click.argument("checkpoint", type=PATH)
@data_option(required=True)
@click.option("--target-ms", type=click.FloatRange(min=0, min_open=True), help="Most time a frame.")
@click.option("--target-fps", type=click.FloatRange(min=0, min_open=True), help="Least rate.")
@click.option("--target-macs", type=AmountType(), help="Most MACs: a share, or such as 2.1G.")
@click.option("--backend", help="Runtime that times candidates.  [default: the first that works]")
@click.option("--threads", type=click.IntRange(min=0), default=0, help="Threads of one inference.")
@click.option("--board", default="", help="Cost is this Jetson's roofline, a floor: orin-nano, …")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "int8"]),
    default="fp32",
    show_default=True,
    help="Precision of what is timed and scored; int8 is calibrated on --data.",
)
@click.option(
    "--search-float", is_flag=True, help="With int8: also search which regions stay float."
)
@click.option("--max-drop", type=click.FloatRange(min=0), default=0.01, show_default=True,
              help="Most mIoU lost against CHECKPOINT.")  # fmt: skip
@click.option("--trials", type=click.IntRange(min=1), default=20, show_default=True)
@click.option("--trial-epochs", type=click.IntRange(min=1), default=3, show_default=True)
@click.option("--round-to", type=click.IntRange(min=1), default=8, show_default=True)
@click.option(
    "--max-ratio",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.8,
    show_default=True,
    help="No layer loses more than this share.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="LAYER",
    help="Prune nothing of the layers matching a name or pattern (*, ?); may be repeated.",
)
@click.option("--images", type=click.IntRange(min=1), default=32, show_default=True,
              help="Images of --data that repair and calibrate candidates.")  # fmt: skip
@click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--lr", type=float, default=5e-4, show_default=True, help="Peak learning rate.")
@click.option("--crop", type=SIZE, help="Size of the training crops.  [default: 256x320 or less]")
@click.option(
    "--photometry",
    type=click.Choice(["none", "mild", "mixed", "strong"]),
    default="strong",
    show_default=True,
    help="How far light, colour and noise of the training crops vary.",
)
@click.option(
    "--distill",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="Weight of CHECKPOINT's logits as a second target of a trial's training; 0 is none.",
)
@click.option("--val-limit", type=click.IntRange(min=1), help="Validate on this many images.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("--storage", help="Where the study is kept; a database URL lets machines share it.")
@click.option("--study", default="", help="The study's name in --storage.")
@click.option("--resume", is_flag=True, help="Go on with an interrupted search.")
@click.option("-o", "--out", type=PATH, help="Folder of the run.  [default: runs/tune/ARCH]")
@json_option
@needs("torch", "safetensors", "cv2", "torch_pruning", "optuna", "onnx", "onnxscript")
def command(
    checkpoint: Path,
    data: str,
    target_ms: float | None,
    target_fps: float | None,
    target_macs: float | None,
    backend: str | None,
    threads: int,
    board: str,
    precision: str,
    search_float: bool,
    max_drop: float,
    trials: int,
    trial_epochs: int,
    round_to: int,
    max_ratio: float,
    keep: tuple[str, ...],
    images: int,
    batch: int,
    lr: float,
    crop: tuple[int, int] | None,
    photometry: str,
    distill: float,
    val_limit: int | None,
    seed: int,
    device: str,
    storage: str | None,
    study: str,
    resume: bool,
    out: Path | None,
    as_json: bool,
) -> None:
    """Search how to prune the float CHECKPOINT so that it meets a target at the best accuracy.

    Time is measured on --backend, candidate and CHECKPOINT in turns; with --board it is that
    board's roofline, which is computed and a floor. The folder gets best.safetensors, recipe.toml,
    tried.json, tried.txt and pareto.png. Exit code 3 where the best loses more than --max-drop, 4
    where no trial met the target.
    """
    from edgeseg.cli.tune.job import TuneJob
    from edgeseg.core.data.open import open_dataset
    from edgeseg.host.checkpoint import load_float_checkpoint
    from edgeseg.host.pruning.options import PruneOptions
    from edgeseg.host.pruning.prune import absolute
    from edgeseg.host.pruning.rounds import PrunePlan, check_prunable
    from edgeseg.host.training.augment import Augment
    from edgeseg.host.training.data import fitting, training_crop_hw
    from edgeseg.host.training.options import TrainOptions
    from edgeseg.host.training.validate import check_labelled
    from edgeseg.host.tuning.search import Space, run_trials
    from edgeseg.host.tuning.study import STUDY, digest_of, open_study
    from edgeseg.runtime.backends import BACKENDS, why_unavailable

    if sum(value is not None for value in (target_ms, target_fps, target_macs)) != 1:
        raise UsageError("give one of --target-ms, --target-fps and --target-macs")
    if target_fps is not None and not math.isfinite(target_fps):
        raise UsageError(f"--target-fps is {target_fps}, expected frames a second")
    if target_macs is not None:
        refuse_given(("backend", "threads", "board"), "MACs are counted, not timed")
    elif board:
        refuse_given(("backend", "threads"), f"the floor of {board} is computed, not timed")
    if search_float and precision != "int8":
        raise UsageError("--search-float chooses what INT8 leaves out: give --precision int8")
    start = load_float_checkpoint(checkpoint)
    check_prunable(start.steps, PrunePlan(PruneOptions(ratio=0.1)))
    spec, space = start.spec, Space(start, max_ratio=max_ratio, floats=search_float, keep=keep)
    if target_macs is None and not board and backend is None:
        backend = next((name for name in BACKENDS if not why_unavailable(name)), "onnxruntime")
    folder = run_folder("tune", spec.arch, out, used_by=(TRIED,), again=resume)
    folder.mkdir(parents=True, exist_ok=True)
    training, validation = fitting(
        checkpoint,
        spec,
        open_dataset(data, "train", size_hw=spec.size_hw, seed=seed),
        open_dataset(data, "val", size_hw=spec.size_hw, seed=seed, limit=val_limit),
    )
    check_labelled(validation)
    job = TuneJob(
        start,
        training,
        validation,
        open_dataset(data, "train", size_hw=spec.size_hw),
        folder,
        "MACs" if target_macs is not None else "floor ms" if board else "ms",
        precision,
        backend or "",
        threads,
        board,
        round_to,
        max_ratio,
        images,
        TrainOptions(
            epochs=trial_epochs,
            batch=batch,
            lr=lr,
            warmup_epochs=min(1.0, trial_epochs / 10),
            augment=Augment(crop_hw=training_crop_hw(crop, spec.size_hw), photometry=photometry),
            validate_every=trial_epochs,
            seed=seed,
            device=device,
            distill=distill,
        ),
    )
    dense = job.cost({}, ())
    if target_macs is not None:
        target = float(absolute(target_macs, round(dense)))
    else:
        target = target_ms if target_ms is not None else 1000 / (target_fps or 1)
    if dense <= target:
        raise UsageError(f"the network meets the target as it is: {dense:.4g} {job.unit}")
    about = {
        "checkpoint": digest_of(start),
        "target": target,
        "unit": job.unit,
        "backend": job.backend,
        "board": board,
        "precision": precision,
        "trial_epochs": trial_epochs,
        "data": job.training.name,
        "validation": job.validation.name,
        "round_to": round_to,
        "keep": list(space.kept),
        "lr": lr,
        "photometry": photometry,
        "distill": distill,
        "max_ratio": max_ratio,
        "images": images,
        "batch": batch,
        "crop": list(job.train.augment.crop_hw),
        "search_float": search_float,
    }
    try:
        held = open_study(storage or str(folder / "study.log"), study or STUDY, seed, about)
    except UsageError as error:
        # Another --storage alone would leave two searches in one folder.
        raise UsageError(f"{error}, or rather another -o: {folder} is that search's") from error
    reference = job.reference_miou()
    say(f"{dense:.4g} {job.unit} and mIoU {reference:.4f} as it is; target {target:.4g}")
    atomic_write_text(folder / TRIED, "[]\n")
    with progress_bar("tune", trials) as bar:

        def told(trial: FrozenTrial) -> None:
            rows = write_tried(job, held.get_trials(deepcopy=False), (dense, reference), target)
            line = trial_line(rows[trial.number], job.unit)
            bar.update(ended(rows), trials, line)
            if not sys.stderr.isatty():
                say(line)

        run_trials(
            held, space, trials,
            costs=job.cost, score=lambda number, tried: job.final(number, tried)[1],
            dense=dense, target=target, told=told,
        )  # fmt: skip
    rows = write_tried(job, held.get_trials(deepcopy=False), (dense, reference), target)
    _finish(job, held, rows, (dense, reference, target, max_drop), data, as_json)


def _finish(
    job: TuneJob,
    study: Any,
    rows: list[dict[str, Any]],
    figures: tuple[float, float, float, float],
    data: str,
    as_json: bool,
) -> None:
    from edgeseg.cli.tune.job import CHECKPOINT, RECIPE
    from edgeseg.cli.tune.recipe import recipe_text
    from edgeseg.host.checkpoint import save_checkpoint
    from edgeseg.host.tuning.search import candidate_of
    from edgeseg.host.tuning.study import best_trial

    dense, reference, target, max_drop = figures
    best = best_trial(study)
    if best is None:
        raise LatencyMissed(
            f"none of {ended(rows)} trials met {target:.4g} {job.unit}; the network has "
            f"{dense:.4g}. Allow more with --max-ratio, or start from a smaller one"
        )
    candidate = candidate_of(best)
    checkpoint, miou = job.final(best.number, candidate)
    save_checkpoint(job.folder / CHECKPOINT, checkpoint)
    atomic_write_text(job.folder / RECIPE, recipe_text(job, candidate, data))
    document = {
        "run": str(job.folder),
        "checkpoint": str(job.folder / CHECKPOINT),
        "recipe": str(job.folder / RECIPE),
        "trials": ended(rows),
        "best": best.number,
        "unit": job.unit,
        "target": target,
        "cost": candidate.cost,
        "cost_before": dense,
        "note": "computed floor, not a measurement" if job.board else "",
        "scores": {"miou": miou, "drop": reference - miou, "before": reference},
    }
    write_record(job.folder, document, typed_command())
    if as_json:
        print_json(document)
    else:
        print_table(
            ("checkpoint", job.unit, "target", "before", "mIoU", "before "),
            [(job.folder / CHECKPOINT, f"{candidate.cost:.4g}", f"{target:.4g}", f"{dense:.4g}",
              ratio(miou), ratio(reference))],
        )  # fmt: skip
    if reference - miou > max_drop:
        raise AccuracyMissed(
            f"the best of {ended(rows)} trials loses {reference - miou:.4f} mIoU, allowed is "
            f"{max_drop}; give more --trials or --trial-epochs, or train it on"
        )
