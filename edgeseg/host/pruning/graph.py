"""Finds the units of structured pruning: channels that must be removed together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
import torch_pruning
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.host.models.blocks import IndexedMaxPool2d, MaxUnpool2d
from edgeseg.host.pruning.cut import NARROWABLE, is_depthwise
from edgeseg.host.pruning.units import Member, Unit

# Two frames, since a batch norm behind global pooling sees one value a channel of each.
TRACE_SHAPE = (2, 3, 64, 96)


def find_units(module: nn.Module) -> list[Unit]:
    """Trace `module` and return its prunable units, in the order of its layers.

    The classifier's outputs are in no unit, nor are channels that reach a grouped convolution
    that is not depthwise or a layer with parameters of a kind not in NARROWABLE.

    Args:
        module: a float network, from N,3,H,W to logits; in evaluation mode afterwards. The units
            refer to its layers.

    Raises:
        UsageError: a layer with parameters takes no part in evaluation: what feeds it is unknown.

    Source: DepGraph, Fang et al. 2023 (arXiv 2301.12900), section 3.
    """
    graph = torch_pruning.DependencyGraph()
    frames = torch.randn(TRACE_SHAPE, device=next(module.parameters()).device)
    with index_path_as_values(module), torch.enable_grad():
        graph.build_dependency(module, frames, verbose=False)
    names = {layer: name for name, layer in module.named_modules()}
    absent = [
        name
        for name, layer in module.named_modules()
        if isinstance(layer, NARROWABLE) and layer not in graph.module2node
    ]
    if absent:
        raise UsageError(f"prune: the network does not use {', '.join(absent)} in evaluation")
    order = {name: position for position, name in enumerate(names.values())}
    roots = [layer for layer in names if _computes(layer)]
    # Widest first: what is added to a concatenation covers all of its parts.
    roots.sort(key=lambda layer: -_outputs(layer))
    units, covered = [], set()
    for root in roots:
        if root in covered:
            continue
        cut = graph.get_pruner_of_module(root).prune_out_channels
        group = graph.get_pruning_group(root, cut, list(range(_outputs(root))))
        layers = [item.dep.target.module for item in group.items]
        giving = {
            item.dep.target.module
            for item in group.items
            if graph.is_out_channel_pruning_fn(item.dep.handler)
        }
        covered |= giving
        if getattr(module, "classifier", None) in giving or not all(map(_narrowable, layers)):
            continue
        units.append(_unit(graph, group, names, order))
    return sorted(units, key=lambda unit: order[unit.name])


@contextlib.contextmanager
def index_path_as_values(module: nn.Module) -> Iterator[None]:
    """Let un-pooling add what pooling saw, so that tracing sees which channels belong together.

    Pooling indices carry no gradient, so a graph made from gradients does not tie the encoder's
    channels to the decoder's, and pruning would pair each map with another one's indices.
    """
    swapped: list[tuple[nn.Module, str, nn.Module]] = []
    for owner in module.modules():
        for name, layer in owner.named_children():
            if isinstance(layer, (IndexedMaxPool2d, MaxUnpool2d)):
                swapped.append((owner, name, layer))
    for owner, name, layer in swapped:
        pools = isinstance(layer, IndexedMaxPool2d)
        setattr(owner, name, _PoolTwice() if pools else _UnpoolBySum())
    try:
        yield
    finally:
        for owner, name, layer in swapped:
            setattr(owner, name, layer)


class _PoolTwice(nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        values = F.max_pool2d(x, 2, 2, ceil_mode=True)
        return values, values


class _UnpoolBySum(nn.Module):
    def forward(
        self, values: torch.Tensor, indices: torch.Tensor, like: torch.Tensor
    ) -> torch.Tensor:
        return F.interpolate(values + indices, size=like.shape[-2:])


def _computes(layer: nn.Module) -> bool:
    return isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)) and not is_depthwise(layer)


def _outputs(layer: Any) -> int:
    return int(layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels)


def _narrowable(layer: Any) -> bool:
    if isinstance(layer, nn.Parameter) or "Output" in type(layer).__name__:
        return False
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        return layer.groups == 1 or is_depthwise(layer)
    return isinstance(layer, NARROWABLE) or not list(layer.parameters())


def _unit(graph: Any, group: Any, names: dict[nn.Module, str], order: dict[str, int]) -> Unit:
    members: list[Member] = []
    producers_at: dict[int, set[str]] = {}
    width = len(group[0].idxs)
    for item in group.items:
        layer, handler = item.dep.target.module, item.dep.handler
        if layer not in names or not list(layer.parameters()):
            continue
        gives = graph.is_out_channel_pruning_fn(handler)
        takes = graph.is_in_channel_pruning_fn(handler) or is_depthwise(layer)
        pairs = tuple(zip(item.root_idxs, item.idxs, strict=True))
        members.append(Member(names[layer], takes, gives or is_depthwise(layer), pairs))
        if gives and _computes(layer):
            for channel, _ in pairs:
                producers_at.setdefault(channel, set()).add(names[layer])
    segments: dict[frozenset[str], list[int]] = {}
    for channel in range(width):
        segments.setdefault(frozenset(producers_at[channel]), []).append(channel)
    producers = sorted(set().union(*segments), key=order.__getitem__)
    return Unit(
        producers[0],
        width,
        tuple(producers),
        tuple(tuple(segment) for segment in segments.values()),
        tuple(members),
        group,
    )
