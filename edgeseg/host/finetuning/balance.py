"""Balance: class scores shifted, without training, between finding rare classes and mIoU.

Class weights in training make a network find rare classes, and name them where they are not. In the
trained network the weight of a class is a constant in its score, log w, so that a part of it can be
taken back afterwards: logit adjustment (Menon et al., arXiv 2007.07314, section 4), with median
frequency balancing's frequencies in place of the prior. The last layer's bias takes the constant,
which costs nothing and, being float in INT8 too, changes nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.metrics.confusion import ConfusionMatrix, Scores
from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.foreign.build import HEAD
from edgeseg.host.models.label_net import Normalize, resize_logits
from edgeseg.host.training.validate import labelled


def bias_of(spec: ModelSpec) -> str:
    """Return the name of the last layer's bias."""
    return f"{spec.options.get(HEAD, 'classifier')}.bias"


def check_balanced(checkpoint: Checkpoint) -> None:
    """Refuse a network whose scores no bias shifts.

    Raises:
        UsageError: its last layer has none.
    """
    if bias_of(checkpoint.spec) not in checkpoint.weights:
        raise UsageError(
            f"{checkpoint.spec.arch} ends in a layer without bias, which its scores could be "
            "shifted by; train it with other --class-weights"
        )


def balanced(checkpoint: Checkpoint, weights: torch.Tensor, amount: float) -> Checkpoint:
    """Return the network with `amount` times log `weights` taken off its scores.

    Args:
        checkpoint: any network with a bias in its last layer, quantized or not.
        weights: one per class, as training weighs the loss at exponent 1.
        amount: the exponent that is taken back; negative finds more of the rare classes.

    Raises:
        UsageError: the last layer has no bias.
    """
    check_balanced(checkpoint)
    shift = -amount * torch.log(weights)
    name = bias_of(checkpoint.spec)
    bias = checkpoint.weights[name]
    step = StepDone("balance", {"take_back": amount}, {"shift": shift.tolist()})
    return dataclasses.replace(
        checkpoint,
        steps=(*checkpoint.steps, step),
        weights={**checkpoint.weights, name: bias + shift.to(bias)},
        scores={},
    )


@torch.no_grad()
def sweep(
    checkpoint: Checkpoint,
    dataset: Dataset,
    weights: torch.Tensor,
    amounts: Sequence[float],
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Scores]:
    """Score `balanced` at each of some amounts, in one pass over the data.

    Args:
        checkpoint: the network.
        dataset: labelled samples.
        weights: as for `balanced`.
        amounts: likewise, several.
        progress: told the number of images done.

    Raises:
        DataError: a sample has no labels.
        UsageError: the last layer has no bias.
    """
    check_balanced(checkpoint)
    spec = checkpoint.spec
    normalize, module = Normalize(spec.preprocess), module_from_checkpoint(checkpoint)
    matrices = [ConfusionMatrix(spec.n_classes, spec.ignore_index) for _ in amounts]
    log = torch.log(weights)[:, None, None]
    samples = labelled(spec, dataset, range(len(dataset)))
    for done, (frame, truth, placement) in enumerate(samples, start=1):
        logits = resize_logits(module(normalize(frame)), spec.size_hw)
        for amount, matrix in zip(amounts, matrices, strict=True):
            labels = (logits[0] - amount * log).argmax(0).to(torch.uint8).numpy()
            matrix.update(truth, placement.invert_labels(labels))
        progress(done)
    return [matrix.scores() for matrix in matrices]
