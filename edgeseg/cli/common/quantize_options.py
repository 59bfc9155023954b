"""What `qat`, `export` and `demo` share: options, calibration frames, quantizing a network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeseg.cli.common.output import progress_bar
from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.host.quantization.observers import OBSERVERS

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from edgeseg.core.data.dataset import Dataset
    from edgeseg.host.checkpoint import Checkpoint
    from edgeseg.host.quantization.quantize import QuantizeOptions

Function = TypeVar("Function", bound=Callable[..., Any])
ADAROUND_STEPS = 500


def quantize_options(function: Function) -> Function:
    """Add the options of a calibration: the observer and what improves on rounding to nearest."""
    options = [
        click.option(
            "--observer",
            type=click.Choice(list(OBSERVERS)),
            default="entropy",
            show_default=True,
            help="How ranges are chosen.",
        ),
        click.option(
            "--percentile",
            type=float,
            default=99.99,
            show_default=True,
            help="For --observer percentile: per cent of the non-zero magnitudes inside.",
        ),
        click.option(
            "--equalize", is_flag=True, help="Even out weight ranges across layers first (CLE)."
        ),
        click.option(
            "--bias-correct", is_flag=True, help="Put each layer's mean rounding error in its bias."
        ),
        click.option(
            "--adaround",
            is_flag=True,
            help="Choose for each weight whether it rounds up or down; minutes.",
        ),
        click.option(
            "--adaround-steps",
            type=click.IntRange(min=1),
            default=ADAROUND_STEPS,
            show_default=True,
            help="Steps of --adaround for each layer.",
        ),
    ]
    for option in reversed(options):
        function = option(function)
    return function


def calibration_frames(spec: ModelSpec, dataset: Dataset, images: int) -> Iterator[np.ndarray]:
    """Yield at most `images` frames uint8 h,w,3 at the model's size, spread over the data set."""
    from edgeseg.core.data.sampling import spread_indices
    from edgeseg.core.images.fit import fit_rgb

    for index in spread_indices(len(dataset), images):
        yield fit_rgb(dataset[index].rgb, spec.size_hw, spec.preprocess.resize)[0]


def calibration_list(dataset: Dataset, images: int) -> str:
    """Return the names and hashes of what calibration_frames yields."""
    from edgeseg.core.data.image_list import image_list
    from edgeseg.core.data.sampling import spread_indices

    return image_list(dataset, spread_indices(len(dataset), images))


def normalized(spec: ModelSpec, frames: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
    """Yield frames uint8 h,w,3 as the network's float inputs 1,3,h,w."""
    import numpy as np
    import torch

    from edgeseg.host.models.label_net import Normalize

    normalize = Normalize(spec.preprocess)
    for frame in frames:
        yield normalize(torch.from_numpy(np.ascontiguousarray(frame))[None])


def quantize_step(
    module: nn.Module,
    spec: ModelSpec,
    options: QuantizeOptions,
    frames: Iterable[np.ndarray],
    progress: Callable[[int], None],
    refining: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Any, StepDone]:
    """Return the calibrated fake-quantized network and the step that a checkpoint records."""
    from edgeseg.host.quantization.quantize import quantize

    quantized, metadata = quantize(
        module, options, normalized(spec, frames), progress=progress, refining=refining
    )
    return quantized, StepDone("quantize", options.to_step(), metadata)


def calibrated(
    checkpoint: Checkpoint, options: QuantizeOptions, dataset: Dataset, images: int
) -> tuple[Any, StepDone]:
    """Quantize a float checkpoint on a data set, with progress bars; the step names the images."""
    from edgeseg.host.checkpoint import module_from_checkpoint

    frames = calibration_frames(checkpoint.spec, dataset, images)
    count = min(images, len(dataset))
    with progress_bar("calibrate", count) as bar:
        module, step = quantize_step(
            module_from_checkpoint(checkpoint),
            checkpoint.spec,
            options,
            frames,
            lambda done: bar.update(done, count),
            lambda done, total: bar.update(done, total, "layers refined"),
        )
    listed = calibration_list(dataset, images)
    source = {
        "data": dataset.name,
        "images": len(listed.splitlines()),
        "list_sha256": hashlib.sha256(listed.encode()).hexdigest(),
    }
    return module, StepDone(step.kind, step.options, {**step.metadata, "calibration": source})


def calibrated_checkpoint(
    checkpoint: Checkpoint, options: QuantizeOptions, dataset: Dataset, images: int
) -> Checkpoint:
    """Return the checkpoint with the quantize step that `calibrated` takes."""
    import dataclasses

    module, step = calibrated(checkpoint, options, dataset, images)
    return dataclasses.replace(
        checkpoint, steps=(*checkpoint.steps, step), weights=module.state_dict()
    )
