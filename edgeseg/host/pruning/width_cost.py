"""Computes the cost of a network at other widths without building it, for a search."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from edgeseg.host.cost import Cost
from edgeseg.host.pruning.cut import Removed, Widths, channels_left, is_depthwise, widths_of
from edgeseg.host.pruning.units import Unit


class WidthCost:
    """Parameters and MACs as a function of the channels that go; equal to host.cost's counts."""

    def __init__(self, module: nn.Module, units: Iterable[Unit], size_hw: tuple[int, int]) -> None:
        """Run `module` once at `size_hw` to see how often each kernel is applied."""
        self.units = list(units)
        self.widths: Widths = widths_of(module)
        self.layers = {name: module.get_submodule(name) for name in self.widths}
        counted = {id(p) for layer in self.layers.values() for p in layer.parameters()}
        self.other_params = sum(p.numel() for p in module.parameters() if id(p) not in counted)
        self.positions = _positions(module, self.layers, size_hw)

    def at(self, removed: Removed) -> Cost:
        """Count the cost without these channels."""
        params, macs = self.other_params, 0
        for name, (taken, given) in channels_left(self.widths, self.units, removed).items():
            layer: Any = self.layers[name]
            takes, gives = len(taken), len(given)
            if isinstance(layer, nn.BatchNorm2d):
                params += 2 * gives if layer.affine else 0
            elif isinstance(layer, nn.PReLU):
                params += gives
            else:
                kernel = math.prod(getattr(layer, "kernel_size", (1,)))
                groups = gives if is_depthwise(layer) else getattr(layer, "groups", 1)
                weights = kernel * takes * gives // groups
                params += weights + (gives if layer.bias is not None else 0)
                macs += self.positions[name] * weights
        return Cost(params, macs)


def _positions(
    module: nn.Module, layers: dict[str, nn.Module], size_hw: tuple[int, int]
) -> dict[str, int]:
    """Return how many cells of one frame each layer's kernel is applied at."""
    positions = dict.fromkeys(layers, 0)

    def hook(name: str) -> Any:
        def count(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            seen = inputs[0] if isinstance(layer, nn.ConvTranspose2d) else output
            positions[name] += math.prod(seen.shape[2:])

        return count

    hooks = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    try:
        with torch.no_grad():
            module(torch.zeros(1, 3, *size_hw, device=next(module.parameters()).device))
    finally:
        for handle in hooks:
            handle.remove()
    return positions
