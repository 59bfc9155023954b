"""Scoring a torch module on a dataset, at the model's input size."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from edgeseg.core.dataset import Dataset
from edgeseg.core.metrics import ConfusionMatrix, Scores
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError
from edgeseg.host.pipeline import LabelNet


@torch.no_grad()
def score_module(
    spec: ModelSpec,
    module: nn.Module,
    dataset: Dataset,
    *,
    bf16: bool = False,
    progress: Callable[[int], None] = lambda done: None,
) -> Scores:
    """Run every sample through normalise, network, resize, argmax; return the scores.

    Images of another size than spec.size_hw are run at their own size: no resampling stands
    between the network and its labels here. On the device the bundle's size is fixed. `progress`
    is told the number of images done.

    Raises:
        DataError: a sample has no labels.
    """
    was_training = module.training
    net = LabelNet(spec, module).eval()
    device = next(module.parameters()).device
    net.normalize.to(device)
    matrix = ConfusionMatrix(spec.n_classes, spec.ignore_index)
    for index in range(len(dataset)):
        sample = dataset[index]
        if sample.labels is None:
            raise DataError(f"{dataset.name}: {sample.name} has no labels to score against")
        frame = torch.from_numpy(sample.rgb)[None].to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            labels = net(frame)
        matrix.update(sample.labels, labels[0].cpu().numpy())
        progress(index + 1)
    module.train(was_training)
    return matrix.scores()
