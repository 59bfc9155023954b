"""The training verbs as functions of Python: the same options, by the same names.

    run = edgeseg.train("deeplabv3plus-mobilenetv2", data="mine", epochs=40)
    small = edgeseg.prune(run.checkpoint, macs=0.5, data="mine")
    bundle = edgeseg.export(edgeseg.qat(small.checkpoint, data="mine").checkpoint, out="model")

Options are those of the verb's help, with underscores. Each function refuses an unknown one with
the nearest, writes a run folder as the verb does, and tells `progress` of every step.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edgeseg.core.progress import ProgressCallback, silent
from edgeseg.host.jobs.options import PruneJobOptions, TrainJobOptions
from edgeseg.host.jobs.prune import prune_job
from edgeseg.host.jobs.train import train_job
from edgeseg.host.quantization.options import QatOptions
from edgeseg.host.quantization.qat import qat_job
from edgeseg.host.training.run_folder import RunResult


def train(arch: str, *, progress: ProgressCallback = silent, **options: Any) -> RunResult:
    """Train a float network, as `edgeseg train` does.

    Args:
        arch: a name of `edgeseg models`.
        progress: told of every step, validation and message.
        **options: data, init, epochs, size, crop, lr, out, …

    Raises:
        EdgesegError: as train_job says.
    """
    return train_job(TrainJobOptions.of(arch=arch, **options), progress)


def prune(
    checkpoint: str | Path, *, progress: ProgressCallback = silent, **options: Any
) -> RunResult:
    """Take channels out of a network, as `edgeseg prune` does.

    Args:
        checkpoint: a file, such as `run.checkpoint`.
        progress: told of every batch, step, validation and message.
        **options: macs (share or count), params, importance, repair, data, epochs, out, …

    Raises:
        EdgesegError: as prune_job says.
    """
    return prune_job(PruneJobOptions.of(checkpoint=checkpoint, **options), progress)


def qat(
    checkpoint: str | Path, *, progress: ProgressCallback = silent, **options: Any
) -> RunResult:
    """Calibrate a network and train it on with INT8 rounding, as `edgeseg qat` does.

    Args:
        checkpoint: a file, such as `run.checkpoint`.
        progress: told of calibration, ranking and training.
        **options: data, epochs, observer, keep_float, out, …

    Raises:
        EdgesegError: as qat_job says.
    """
    return qat_job(QatOptions.of(checkpoint=checkpoint, **options), progress)
