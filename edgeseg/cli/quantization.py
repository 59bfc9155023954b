"""What `qat`, `export` and `demo` share: calibration frames, and quantizing a network."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from edgeseg.core.dataset import Dataset
from edgeseg.core.image import fit_rgb
from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec

if TYPE_CHECKING:
    from torch import nn

    from edgeseg.host.quantize import QuantizeOptions


def calibration_frames(spec: ModelSpec, dataset: Dataset, images: int) -> Iterator[np.ndarray]:
    """Yield at most `images` frames uint8 h,w,3 at the model's size, spread over the data set."""
    count = min(images, len(dataset))
    for number in range(count):
        sample = dataset[number * len(dataset) // count]
        yield fit_rgb(sample.rgb, spec.size_hw, spec.preprocess.resize)[0]


def quantize_step(
    module: nn.Module,
    spec: ModelSpec,
    options: QuantizeOptions,
    frames: Iterable[np.ndarray],
    progress: Callable[[int], None],
) -> tuple[Any, StepDone]:
    """Return the calibrated fake-quantized network and the step that a checkpoint records."""
    import torch

    from edgeseg.host.pipeline import Normalize
    from edgeseg.host.quantize import quantize

    normalize = Normalize(spec.preprocess)
    batches = (normalize(torch.from_numpy(np.ascontiguousarray(frame))[None]) for frame in frames)
    quantized, metadata = quantize(module, options, batches, progress=progress)
    return quantized, StepDone("quantize", options.to_step(), metadata)
