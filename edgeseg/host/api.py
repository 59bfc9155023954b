"""The training verbs, and quantization in memory, as functions of Python: the verbs' own options.

    run = edgeseg.train("deeplabv3plus-mobilenetv2", data="mine", epochs=40)
    small = edgeseg.prune(run.checkpoint, macs=0.5, data="mine")
    bundle = edgeseg.export(edgeseg.qat(small.checkpoint, data="mine").checkpoint, out="model")

Options are those of the verb's help, with underscores. Each function refuses an unknown one with
the nearest, writes a run folder as the verb does, and tells `progress` of every step.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from torch import fx, nn

from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.progress import ProgressCallback, silent
from edgeseg.core.spec import ModelSpec
from edgeseg.host.foreign.graph import as_graph
from edgeseg.host.jobs.options import PruneJobOptions, TrainJobOptions
from edgeseg.host.jobs.prune import prune_job
from edgeseg.host.jobs.train import train_job
from edgeseg.host.quantization.calibrate import quantize_step
from edgeseg.host.quantization.options import CalibrationOptions, QatOptions
from edgeseg.host.quantization.qat import qat_job
from edgeseg.host.training.run_folder import RunResult
from edgeseg.host.tuning.options import TuneOptions
from edgeseg.host.tuning.tune import TuneResult, tune_job


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


def tune(
    checkpoint: str | Path, *, progress: ProgressCallback = silent, **options: Any
) -> TuneResult:
    """Search how to prune a network so that it meets a target, as `edgeseg tune` does.

    Args:
        checkpoint: a file, such as `run.checkpoint`.
        progress: told of every trial.
        **options: data, target_ms, target_macs, trials, out, …

    Raises:
        EdgesegError: as tune_job says.
    """
    return tune_job(TuneOptions.of(checkpoint=checkpoint, **options), progress)


def quantize(
    module: nn.Module,
    frames: Iterable[np.ndarray],
    spec: ModelSpec,
    *,
    progress: ProgressCallback = silent,
    **options: Any,
) -> fx.GraphModule:
    """Place fake-quantizers in a network in memory and calibrate them, without any file.

    Args:
        module: from normalized N,3,h,w to scores N,K,h',w'; edgeseg's or anybody's. Not changed.
        frames: real RGB pictures uint8 h,w,3, of any size; fitted to the network as `spec` says.
        spec: its size and normalization.
        progress: told of each frame.
        **options: observer, percentile, equalize, bias_correct, adaround, tune_ranges, keep_float.

    Returns:
        The network with fake INT8 in it, in evaluation mode, which can be trained on.

    Raises:
        UsageError: there is no frame, a value is not finite, or an option is wrong.
        ExportError: the network cannot be followed; the message names the line.
    """
    chosen = CalibrationOptions.of(**options)
    chosen.refuse_idle_calibration()
    fitted = (fit_rgb(frame, spec.size_hw, spec.preprocess.resize)[0] for frame in frames)
    quantized, _ = quantize_step(
        as_graph(module, spec.size_hw), spec, chosen.quantize_options(), fitted, progress=progress
    )
    return quantized
