"""The job of `edgeseg tune`: finds the network that meets a budget, and writes its recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial

from edgeseg.core.data.open import open_dataset
from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.lock import one_writer
from edgeseg.core.progress import Progress, ProgressCallback, silent, tell
from edgeseg.core.run_key import run_key
from edgeseg.errors import AccuracyMissed, LatencyMissed, UsageError
from edgeseg.host.checkpoint import Checkpoint, load_float_checkpoint, save_checkpoint
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.pruning.options import PruneOptions
from edgeseg.host.pruning.prune import absolute
from edgeseg.host.pruning.rounds import PrunePlan, check_prunable
from edgeseg.host.training.data import fitting, splits
from edgeseg.host.training.options import train_options
from edgeseg.host.training.run_folder import run_folder, write_record
from edgeseg.host.training.validate import check_labelled
from edgeseg.host.tuning.job import Timer, TuneJob
from edgeseg.host.tuning.options import TuneOptions
from edgeseg.host.tuning.recipe import recipe_text
from edgeseg.host.tuning.search import Space, candidate_of, run_trials
from edgeseg.host.tuning.study import STUDY, best_trial, digest_of, open_study
from edgeseg.host.tuning.tried import TRIED, Tried
from edgeseg.runtime.backends import BACKENDS, why_unavailable

CHECKPOINT, RECIPE = "best.safetensors", "recipe.toml"


@dataclasses.dataclass(frozen=True)
class TuneResult:
    """What a search ended with.

    Attributes:
        folder: of the run.
        checkpoint: the file of the best network.
        recipe: the file of the recipe that makes it again.
        tried: all trials.
        document: what scores.json holds.
        max_drop: most mIoU that the best may lose.
    """

    folder: Path
    checkpoint: Path
    recipe: Path
    tried: Tried
    document: dict[str, Any]
    max_drop: float

    def check_accuracy(self) -> None:
        """Check the best network against `max_drop`.

        Raises:
            AccuracyMissed: it loses more.
        """
        drop = self.document["scores"]["drop"]
        if drop > self.max_drop:
            raise AccuracyMissed(
                f"the best of {self.tried.ended} trials loses {drop:.4f} mIoU, allowed is "
                f"{self.max_drop}; give more --trials or --trial-epochs, or train it on"
            )


@trusting
@one_writer
def tune_job(
    options: TuneOptions,
    progress: ProgressCallback = silent,
    *,
    on_trial: Callable[[Tried], None] = lambda tried: None,
    timer: Timer | None = None,
) -> TuneResult:
    """Search how to prune a float network so that it meets a target at the best accuracy.

    Args:
        options: by the names of the verb's options.
        progress: told of every trial.
        on_trial: called with all trials after each.
        timer: what times candidates where `options.on` names a board.

    Returns:
        The result; its folder holds the network, its recipe, the trials and the record.

    Raises:
        UsageError: options contradict each other, the network meets the target as it is, or the
            folder or the study is another search's.
        CheckpointError: the file is no checkpoint.
        DataError: the data cannot be read, or no validation image has labels.
        LatencyMissed: no trial met the target.
    """
    options.check()
    if (timer is None) != (not options.on):
        raise UsageError(f"on={options.on!r} and timer go together; give both or neither")
    start = load_float_checkpoint(options.checkpoint)
    check_prunable(start.steps, PrunePlan(PruneOptions(ratio=0.1)))
    space = Space(
        start, max_ratio=options.max_ratio, floats=options.search_float, keep=options.keep
    )
    job = _prepared(options, start, progress, timer)
    dense = job.cost({}, ())
    target = _target(options, dense)
    if dense <= target:
        raise UsageError(f"the network meets the target as it is: {dense:.4g} {job.unit}")
    study = _study(options, job, space, target)
    reference = job.reference_miou()
    tell(
        progress,
        f"{dense:.4g} {job.unit} and mIoU {reference:.4f} as it is; target {target:.4g}",
    )
    atomic_write_text(job.folder / TRIED, "[]\n")
    empty = Tried(job.folder, job.unit, dense, reference, target)

    def told(trial: FrozenTrial) -> None:
        tried = empty.with_trials(study.get_trials(deepcopy=False))
        on_trial(tried)
        line = tried.line(trial.number)
        progress(Progress("tune", tried.ended, options.trials, line, line, detail=True))

    run_trials(
        study, space, options.trials,
        costs=job.cost, score=lambda number, candidate: job.final(number, candidate)[1],
        dense=dense, target=target, told=told,
    )  # fmt: skip
    tried = empty.with_trials(study.get_trials(deepcopy=False))
    on_trial(tried)
    return _finished(options, job, study, tried)


def _prepared(
    options: TuneOptions, start: Checkpoint, progress: ProgressCallback, timer: Timer | None
) -> TuneJob:
    spec, seed, epochs = start.spec, options.seed, options.trial_epochs
    backend = options.backend if timer is None else timer.backend
    if options.unit == "ms" and backend is None:
        backend = next((name for name in BACKENDS if not why_unavailable(name)), "onnxruntime")
    folder = run_folder("tune", spec.arch, options.out, used_by=(TRIED,), again=options.resume)
    folder.mkdir(parents=True, exist_ok=True)
    training, validation = fitting(
        options.checkpoint,
        spec,
        *splits(options.data, None, spec.size_hw, seed, options.val_limit, options, progress),
    )
    check_labelled(validation)
    return TuneJob(
        start,
        training,
        validation,
        open_dataset(options.data, "train", size_hw=spec.size_hw, options=options.read_options()),
        folder,
        options.unit,
        options.precision,
        backend or "",
        options.threads,
        options.board,
        options.round_to,
        options.max_ratio,
        options.images,
        train_options(
            options,
            spec.size_hw,
            epochs=epochs,
            warmup_epochs=min(1.0, epochs / 10),
            validate_every=epochs,
            seed=seed,
        ),
        progress,
        timer,
    )


def _target(options: TuneOptions, dense: float) -> float:
    """Return the most that a candidate may cost."""
    if options.target_macs is not None:
        return float(absolute(options.target_macs, round(dense)))
    if options.target_ms is not None:
        return options.target_ms
    return 1000 / (options.target_fps or 1)


def _study(options: TuneOptions, job: TuneJob, space: Space, target: float) -> optuna.Study:
    about = run_key(
        checkpoint=digest_of(job.start),
        target=target,
        unit=job.unit,
        backend=job.backend,
        board=options.board,
        precision=options.precision,
        trial_epochs=options.trial_epochs,
        data=job.training_fact,
        validation=job.validation,
        round_to=options.round_to,
        keep=list(space.kept),
        lr=options.lr,
        photometry=options.photometry,
        distill=options.distill,
        max_ratio=options.max_ratio,
        images=options.images,
        batch=options.batch,
        crop=list(job.train.augment.crop_hw),
        search_float=options.search_float,
    )
    storage = options.storage or str(job.folder / "study.log")
    try:
        return open_study(storage, options.study or STUDY, options.seed, about)
    except UsageError as error:
        # Another --storage alone would leave two searches in one folder.
        raise UsageError(f"{error}, or rather another -o: {job.folder} is that search's") from error


def _finished(options: TuneOptions, job: TuneJob, study: Any, tried: Tried) -> TuneResult:
    """Write the best network, its recipe and the record."""
    best = best_trial(study)
    if best is None:
        raise LatencyMissed(
            f"none of {tried.ended} trials met {tried.target:.4g} {job.unit}; the network has "
            f"{tried.dense:.4g}. Allow more with --max-ratio, or start from a smaller one"
        )
    candidate = candidate_of(best)
    network, miou = job.final(best.number, candidate)
    checkpoint, recipe = job.folder / CHECKPOINT, job.folder / RECIPE
    save_checkpoint(checkpoint, network)
    atomic_write_text(recipe, recipe_text(job, candidate, options.data))
    document = {
        "run": str(job.folder),
        "checkpoint": str(checkpoint),
        "recipe": str(recipe),
        "trials": tried.ended,
        "best": best.number,
        "unit": job.unit,
        "target": tried.target,
        "cost": candidate.cost,
        "cost_before": tried.dense,
        "note": "computed floor, not a measurement" if job.board else "",
        "scores": {"miou": miou, "drop": tried.reference - miou, "before": tried.reference},
    }
    write_record(job.folder, document, options.command)
    return TuneResult(job.folder, checkpoint, recipe, tried, document, options.max_drop)
