"""What a network costs before anything runs it: parameters and multiply-accumulates."""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import nn

from edgeseg.core.spec import ModelSpec
from edgeseg.host.checkpoint import Checkpoint, structure
from edgeseg.host.models import build_model


@dataclasses.dataclass(frozen=True)
class Cost:
    """Parameters of a network, and multiply-accumulates of its convolutions for one frame."""

    params: int
    macs: int


def count_cost(module: nn.Module, size_hw: tuple[int, int]) -> Cost:
    """Count the cost of one frame; only convolutions and linear layers have MACs here."""
    macs = 0

    def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal macs
        if isinstance(layer, nn.ConvTranspose2d):
            macs += inputs[0].numel() * math.prod(layer.weight.shape[1:])
        elif isinstance(layer, nn.Conv2d):
            macs += output.numel() * math.prod(layer.weight.shape[1:])
        elif isinstance(layer, nn.Linear):
            macs += output.numel() * layer.in_features

    kinds = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, kinds)]
    device = next(module.parameters()).device
    training = module.training
    try:
        with torch.no_grad():
            module.eval()(torch.zeros(1, 3, *size_hw, device=device))
    finally:
        module.train(training)
        for hook in hooks:
            hook.remove()
    return Cost(sum(p.numel() for p in module.parameters()), macs)


def spec_cost(spec: ModelSpec) -> Cost:
    """Count the cost of a spec's network without allocating its weights."""
    with torch.device("meta"):
        return count_cost(build_model(spec), spec.size_hw)


def checkpoint_cost(checkpoint: Checkpoint) -> Cost:
    """Count the cost of a checkpoint's float network, pruned as it is, without its weights."""
    with torch.device("meta"):
        module = structure(checkpoint.spec, (s for s in checkpoint.steps if s.kind == "prune"))
        return count_cost(module, checkpoint.spec.size_hw)
