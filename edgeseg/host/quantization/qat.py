"""Quantization-aware training: the job of `edgeseg qat`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeseg.core.files.lock import one_writer
from edgeseg.core.progress import ProgressCallback, silent
from edgeseg.host.checkpoint import load_checkpoint
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.quantization.options import QatOptions, QuantizeOptions
from edgeseg.host.quantization.qat_setup import QatJob, prepared, qat_folder, quantized_as
from edgeseg.host.quantization.rank_layers import RANKING_IMAGES, picked, ranked
from edgeseg.host.training.run_folder import RunResult, recorded
from edgeseg.host.training.train import LAST
from edgeseg.host.training.validate import check_labelled


@trusting
@one_writer
def qat_job(options: QatOptions, progress: ProgressCallback = silent) -> RunResult:
    """Quantize a float network and train it on with fake INT8 in the loop.

    Args:
        options: by the names of the verb's options.
        progress: told of calibration, ranking and training.

    Returns:
        The run; its folder holds checkpoints, curves and the list of calibration images.

    Raises:
        UsageError: options contradict each other, or the folder holds another run.
        CheckpointError: the file is no checkpoint.
        DataError: the data cannot be read, or there is nothing to score `keep_float` "auto" on.
    """
    job = prepared(options, progress)
    folder = qat_folder(options, job.checkpoint.spec.arch)
    if options.automatic:
        job = dataclasses.replace(job, choice=_automatic(job, options, folder, progress))
    trained = job.run(
        folder, resume=options.resume, stop_after=options.stop_after, progress=progress
    )
    return recorded(trained, folder, options, job.training, job.validation)


def _automatic(
    job: QatJob, options: QatOptions, folder: Path, progress: ProgressCallback
) -> QuantizeOptions:
    """Return the choice with the layers that the ranking leaves in float, or a resumed run's."""
    if options.resume and (folder / LAST).is_file():
        kept = quantized_as(load_checkpoint(folder / LAST)).keep_float
    else:
        ranking = prepared(options, val_limit=options.val_limit or RANKING_IMAGES)
        check_labelled(ranking.validation)
        found = ranked(ranking, folder, progress=progress)
        kept = picked(ranking, found, options.max_drop, progress=progress)
    return dataclasses.replace(job.choice, keep_float=kept)
