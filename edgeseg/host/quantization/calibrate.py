"""Calibration: frames of a data set choose the INT8 ranges of a network."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import fx, nn

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.image_list import image_list
from edgeseg.core.data.sampling import spread_indices
from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.progress import Progress, ProgressCallback, counted, silent
from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.models.label_net import Normalize
from edgeseg.host.quantization.options import QuantizeOptions
from edgeseg.host.quantization.quantize import quantize

STAGE = "calibrate"


def calibration_frames(spec: ModelSpec, dataset: Dataset, images: int) -> Iterator[np.ndarray]:
    """Yield at most `images` frames uint8 h,w,3 at the model's size, spread over the data set."""
    for index in spread_indices(len(dataset), images):
        yield fit_rgb(dataset[index].rgb, spec.size_hw, spec.preprocess.resize)[0]


def calibration_list(dataset: Dataset, images: int) -> str:
    """Return the names and hashes of what calibration_frames yields."""
    return image_list(dataset, spread_indices(len(dataset), images))


def normalized(spec: ModelSpec, frames: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
    """Yield frames uint8 h,w,3 as the network's float inputs 1,3,h,w."""
    normalize = Normalize(spec.preprocess)
    for frame in frames:
        yield normalize(torch.from_numpy(np.ascontiguousarray(frame))[None])


def quantize_step(
    module: nn.Module,
    spec: ModelSpec,
    options: QuantizeOptions,
    frames: Iterable[np.ndarray],
    *,
    count: int | None = None,
    progress: ProgressCallback = silent,
) -> tuple[fx.GraphModule, StepDone]:
    """Quantize a float network and calibrate it.

    Args:
        module: from normalized N,3,h,w to logits; it is not changed.
        spec: describes the network.
        options: how to quantize.
        frames: uint8 h,w,3 at the model's size, streamed once.
        count: how many frames there are, for the progress.
        progress: told of each frame, and of each layer that is refined.

    Returns:
        The fake-quantized network in evaluation mode, and the step that a checkpoint records.

    Raises:
        UsageError: there is no frame, a value is not finite, or `keep_float` names no layer.
    """
    quantized, metadata = quantize(
        module,
        options,
        normalized(spec, frames),
        progress=counted(progress, STAGE, count),
        refining=lambda done, total: progress(Progress(STAGE, done, total, "steps of refinement")),
    )
    return quantized, StepDone("quantize", options.to_step(), metadata)


def calibrated(
    checkpoint: Checkpoint,
    options: QuantizeOptions,
    dataset: Dataset,
    images: int,
    *,
    progress: ProgressCallback = silent,
) -> tuple[fx.GraphModule, StepDone]:
    """Quantize a float checkpoint on at most `images` images; the step records which.

    Raises:
        UsageError: the data set is empty, a value is not finite, or `keep_float` names no layer.
    """
    module, step = quantize_step(
        module_from_checkpoint(checkpoint),
        checkpoint.spec,
        options,
        calibration_frames(checkpoint.spec, dataset, images),
        count=min(images, len(dataset)),
        progress=progress,
    )
    listed = calibration_list(dataset, images)
    source = {
        "data": dataset.name,
        "images": len(listed.splitlines()),
        "list_sha256": hashlib.sha256(listed.encode()).hexdigest(),
    }
    return module, StepDone(step.kind, step.options, {**step.metadata, "calibration": source})


def calibrated_checkpoint(
    checkpoint: Checkpoint,
    options: QuantizeOptions,
    dataset: Dataset,
    images: int,
    *,
    progress: ProgressCallback = silent,
) -> Checkpoint:
    """Return the checkpoint with the quantize step that `calibrated` takes."""
    module, step = calibrated(checkpoint, options, dataset, images, progress=progress)
    return dataclasses.replace(
        checkpoint, steps=(*checkpoint.steps, step), weights=module.state_dict()
    )
