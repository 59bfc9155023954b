"""The job of `edgeseg prune`: a narrower or 2:4 sparse network from a trained one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.lock import one_writer
from edgeseg.core.progress import ProgressCallback, counted, silent, tell
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import load_float_checkpoint, module_from_checkpoint
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.jobs.options import PruneJobOptions
from edgeseg.host.pruning.options import PruneOptions
from edgeseg.host.pruning.rounds import PRUNED, TABLE, PrunePlan, PruneResult, prune_in_rounds
from edgeseg.host.training.data import fitting, mixed_in, splits
from edgeseg.host.training.options import train_options
from edgeseg.host.training.run_folder import RunResult, about_run, run_folder, write_record
from edgeseg.host.training.train import LAST, STATE, ProgressListener
from edgeseg.host.training.validate import score_module

# Options that only a training reads.
TRAINING_ONLY = (
    "mix", "mix_share", "crop", "distill", "result", "batch", "lr", "photometry", "class_weights",
    "validate_every",
)  # fmt: skip


@trusting
@one_writer
def prune_job(options: PruneJobOptions, progress: ProgressCallback = silent) -> RunResult:
    """Prune a network as `edgeseg prune` does, and leave the run in its folder.

    Args:
        options: what to prune, how far, and how to train what is left.
        progress: told of every batch, step, validation and message.

    Returns:
        The run; its document has the cost before and after.

    Raises:
        CheckpointError: the file is no checkpoint.
        DataError: the data cannot be read or trained on.
        RecipeError: the checkpoint's steps forbid it.
        UsageError: options contradict each other, a target is out of reach, or the folder holds a
            run already.
    """
    what = _prune_options(options)
    start = load_float_checkpoint(options.checkpoint)
    spec = start.spec
    _check(options)
    training: Dataset | None = None
    validation: Dataset | None = None
    if options.data:
        training, validation = fitting(
            options.checkpoint,
            spec,
            *splits(
                options.data,
                options.hold_out,
                spec.size_hw,
                options.seed,
                options.val_limit,
                options,
                progress,
            ),
        )
    plan = PrunePlan(
        what,
        options.rounds,
        options.sparsity or "",
        options.images,
        train_options(options, spec.size_hw, warmup_epochs=min(1.0, options.epochs / 10))
        if options.epochs
        else None,
        options.distill > 0,
        options.result,
    )
    folder = run_folder(
        "prune", spec.arch, options.out, used_by=(PRUNED, LAST, STATE), again=options.resume
    )
    pruned = prune_in_rounds(
        start,
        plan,
        folder,
        training,
        extra=mixed_in(options, training, spec.size_hw, progress) if training else (),
        validation=validation,
        resume=options.resume,
        progress=counted(progress, "prune", options.images),
        listener=lambda _: ProgressListener(progress, "train", options.epochs),
    )
    atomic_write_text(folder / TABLE, pruned.table)
    tell(progress, f"widths, layer by layer: {folder / TABLE}")
    scores: Mapping[str, Any] = dict(pruned.checkpoint.scores.get("validation") or {})
    if validation is not None and not pruned.trained:
        tell(progress, "scoring the pruned network, which nothing has trained yet")
        module = module_from_checkpoint(pruned.checkpoint)
        scores = score_module(
            spec, module, validation, progress=counted(progress, "score", len(validation))
        ).to_json()
    document = _document(pruned, folder, scores)
    write_record(folder, document, options.command)
    rows = [row for one in pruned.trained for row in one.rows]
    about = about_run(options, training, validation, epochs=bool(options.epochs))
    return RunResult(
        folder, folder / pruned.file, pruned.checkpoint, rows, scores, document, validation, about
    )


def _prune_options(options: PruneJobOptions) -> PruneOptions:
    return PruneOptions(
        ratio=options.ratio or 0.0,
        target_macs=options.target_macs or 0.0,
        target_params=options.target_params or 0.0,
        importance=options.importance,
        scope=options.scope,
        layer_ratios=options.layer_ratios,
        max_ratio=options.max_ratio,
        round_to=options.round_to,
        seed=options.seed,
        repair=options.repair,
    )


def _check(options: PruneJobOptions) -> None:
    """Refuse options that would do nothing."""
    if options.hold_out and not options.data:
        raise UsageError("--hold-out leaves a drive out of --data; give --data")
    if not options.epochs:
        options.refuse_given(TRAINING_ONLY, "without --epochs nothing is trained")
    if options.data is None:
        options.refuse_given(("images", "val_limit"), "there is no --data")


def _document(result: PruneResult, folder: Path, scores: Mapping[str, Any]) -> dict[str, Any]:
    before, after = result.before, result.after
    return {
        "run": str(folder),
        "checkpoint": str(folder / result.file),
        "epochs": sum(len(one.rows) for one in result.trained),
        "seconds": sum(row.seconds for one in result.trained for row in one.rows),
        "before": dataclasses.asdict(before),
        "after": dataclasses.asdict(after),
        "macs_ratio": after.macs / before.macs,
        "params_ratio": after.params / before.params,
        "class_names": list(result.checkpoint.spec.class_names),
        "scores": dict(scores) or None,
    }
