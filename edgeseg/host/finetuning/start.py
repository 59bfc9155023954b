"""The network that a training goes on from: its size, its classes, in float."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.sampling import spread_indices
from edgeseg.core.data.views import Fitted
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint
from edgeseg.host.finetuning.change_classes import with_classes_of
from edgeseg.host.finetuning.restore_batch_norms import restored
from edgeseg.host.foreign.build import short_name
from edgeseg.host.models.label_net import Normalize

# Frames on which the batch norms of a quantized network are measured again.
NORM_IMAGES = 32


def load_start(path: Path, arch: str, size_hw: tuple[int, int] | None) -> Checkpoint:
    """Read the checkpoint that a training goes on from, its input of another size if asked.

    Args:
        path: the file.
        arch: the architecture that it must have.
        size_hw: height and width of the input; None keeps the checkpoint's.

    Raises:
        CheckpointError: the file is no checkpoint.
        UsageError: it is of another architecture.
    """
    start = load_checkpoint(path)
    if arch not in (start.spec.arch, short_name(start.spec.arch)):
        raise UsageError(f"{path} is a {start.spec.arch}, not a {arch}")
    if size_hw is None:
        return start
    return dataclasses.replace(start, spec=dataclasses.replace(start.spec, size_hw=size_hw))


def fit_start(
    start: Checkpoint, path: Path, data: Dataset, progress: ProgressCallback = silent
) -> Checkpoint:
    """Return a float checkpoint for the classes of `data`, and tell what that changed.

    A quantized network gets its batch norms back, measured on frames of `data`; other classes get
    a fresh last layer.

    Args:
        start: the network, quantized or not.
        path: its file, for the messages.
        data: what it will be trained on.
        progress: gets the messages.

    Raises:
        UsageError: pruning left the network other channels than one for each class.
    """
    if start.quantized:
        start = restored(start, _frames(start.spec, data))
        tell(progress, f"{path} is quantized; it goes on in float, its batch norms measured again")
    if start.spec.class_names != tuple(data.class_names):
        start, fresh = with_classes_of(start, data)
        layers = ", ".join(sorted({key.rpartition(".")[0] for key in fresh}))
        tell(progress, f"{path} has other classes than {data.name}: {layers} starts afresh")
    return start


def _frames(spec: ModelSpec, data: Dataset) -> Iterator[torch.Tensor]:
    """Yield inputs 1,3,h,w of NORM_IMAGES frames, spread over the data."""
    normalize, fitted = Normalize(spec.preprocess), Fitted(data, spec)
    for index in spread_indices(len(data), NORM_IMAGES):
        yield normalize(torch.from_numpy(np.ascontiguousarray(fitted[index].rgb))[None])
