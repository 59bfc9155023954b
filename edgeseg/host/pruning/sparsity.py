"""2:4 structured sparsity: of every four neighbouring input channels two weights are zero.

TensorRT's sparse kernels need the pattern along the input channels, for each output channel and
each cell of the kernel (developer guide, "Structured Sparsity"; Mishra et al. 2021, arXiv
2104.08378, section 3). The mask is the zeros themselves: it needs no state of its own, survives
saving, batch-norm folding (which scales output channels) and symmetric quantization (zero is on
every grid), and training keeps it by writing the zeros again after every step.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import nn

from edgeseg.core.recipe import StepDone
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.fx.tracing import head_of
from edgeseg.host.pruning.cut import SPARSE as SPARSE
from edgeseg.host.quantization.quantize import is_quantized
from edgeseg.host.training.hooks import Hook
from edgeseg.host.training.options import TrainOptions

PATTERN = "2:4"
Masks = dict[str, torch.Tensor]


def sparsify(module: nn.Module) -> tuple[nn.Module, dict[str, Any]]:
    """Return a copy of a float network with the smaller two of every four weights zeroed.

    The classifier stays dense, and so does a convolution without groups of four input channels:
    depthwise ones, the first one, and what pruning left at another multiple.

    Returns:
        The network in evaluation mode and metadata for the checkpoint's step.

    Raises:
        UsageError: the network is quantized, or no layer can take the pattern.
    """
    if is_quantized(module):
        raise UsageError("sparsity: the network is quantized; give the float checkpoint")
    work = copy.deepcopy(module).eval()
    names = [name for name, layer in work.named_modules() if _eligible(layer)]
    head = head_of(work)
    names = [name for name in names if name != head]
    if not names:
        raise UsageError("sparsity: no convolution has a multiple of 4 input channels")
    with torch.no_grad():
        for name in names:
            weight = _weight(work, name)
            weight.mul_(two_of_four(weight))
    return work, {SPARSE: names}


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """Return the bool mask that keeps the two largest magnitudes of every four input channels.

    Args:
        weight: out,in,kh,kw with `in` a multiple of 4.
    """
    out, inputs = weight.shape[:2]
    fours = weight.detach().abs().reshape(out, inputs // 4, 4, -1)
    kept = fours.topk(2, dim=2).indices
    mask = torch.zeros_like(fours, dtype=torch.bool).scatter_(2, kept, True)
    return mask.reshape(weight.shape)


def has_pattern(weight: torch.Tensor) -> bool:
    """Tell whether every four neighbouring input channels have at least two zeros."""
    if weight.ndim != 4 or weight.shape[1] % 4:
        return False
    zeros = (weight == 0).reshape(weight.shape[0], weight.shape[1] // 4, 4, -1).sum(2)
    return bool((zeros >= 2).all())


def masks_of(module: nn.Module, steps: Sequence[StepDone]) -> Masks:
    """Return the masks that training must keep: the non-zeros of the layers made sparse.

    Args:
        module: the network, float or quantized, as its training starts.
        steps: what was done to it.

    Raises:
        CheckpointError: a layer that a step made sparse has lost the pattern.
    """
    masks = {}
    for step in steps:
        for name in step.metadata.get(SPARSE, ()):
            weight = _weight(module, name)
            if not has_pattern(weight):
                raise CheckpointError(
                    f"{name} was made {PATTERN} sparse and is no longer; what was done to the "
                    "checkpoint since did not keep its zeros"
                )
            masks[name] = weight.detach() != 0
    return masks


class KeepZeros(Hook):
    """Writes the zeros of a step's sparse layers again after every optimizer step."""

    def __init__(self, step: StepDone) -> None:
        """Take the step; one without sparse layers asks for nothing."""
        self._step = step
        self._kept: list[tuple[torch.Tensor, torch.Tensor]] = []

    def start(self, module: nn.Module, options: TrainOptions) -> None:
        """Read the zeros.

        Raises:
            CheckpointError: a layer has lost the pattern.
        """
        masks = masks_of(module, (self._step,))
        self._kept = [(_weight(module, name), mask) for name, mask in masks.items()]

    @torch.no_grad()
    def after_step(self) -> None:
        """Write them."""
        for weight, mask in self._kept:
            weight.mul_(mask)


def is_sparse(steps: Iterable[StepDone]) -> bool:
    """Tell whether a step made the network 2:4 sparse."""
    return any(step.metadata.get(SPARSE) for step in steps)


def _eligible(layer: nn.Module) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups == 1 and layer.in_channels % 4 == 0


def _weight(module: nn.Module, name: str) -> torch.Tensor:
    weight = getattr(module.get_submodule(name), "weight", None)
    if not isinstance(weight, torch.Tensor):
        raise CheckpointError(f"the checkpoint's sparse layer {name} has no weight")
    return weight
