"""Narrows layers to the channels that stay, and lists their widths before and after."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import nn

from edgeseg.core.recipe import StepDone
from edgeseg.errors import CheckpointError
from edgeseg.host.pruning.units import Unit

# The layers that can be narrowed. A unit that reaches any other layer with parameters is left.
NARROWABLE = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, nn.PReLU)
# In a step's metadata: the layers that have the 2:4 pattern.
SPARSE = "sparse"
Widths = dict[str, tuple[int, int]]
Removed = Mapping[str, frozenset[int]]


def is_depthwise(layer: nn.Module) -> bool:
    """Tell whether every output channel of a convolution reads one input channel of its own."""
    return (
        isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
        and layer.groups == layer.in_channels == layer.out_channels > 1
    )


def widths_of(module: nn.Module) -> Widths:
    """Return (inputs, outputs) of every layer that pruning can narrow, by name."""
    widths = {}
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            widths[name] = (layer.in_channels, layer.out_channels)
        elif isinstance(layer, nn.Linear):
            widths[name] = (layer.in_features, layer.out_features)
        elif isinstance(layer, nn.BatchNorm2d):
            widths[name] = (layer.num_features,) * 2
        elif isinstance(layer, nn.PReLU):
            widths[name] = (layer.num_parameters,) * 2
    return widths


def cut(module: nn.Module, units: Iterable[Unit], removed: Removed) -> None:
    """Take channels out of every layer of their units, in place.

    Args:
        module: the network.
        units: its units.
        removed: unit name -> the channels of the unit that go.
    """
    widths = widths_of(module)
    for name, (takes, gives) in channels_left(widths, units, removed).items():
        if (len(takes), len(gives)) != widths[name]:
            narrow(module.get_submodule(name), sorted(takes), sorted(gives))


def channels_left(
    widths: Widths, units: Iterable[Unit], removed: Removed
) -> dict[str, tuple[set[int], set[int]]]:
    """Return the input and output channels that stay in each layer."""
    left = {name: (set(range(takes)), set(range(gives))) for name, (takes, gives) in widths.items()}
    for unit in units:
        gone = removed.get(unit.name, frozenset())
        for member in unit.members:
            own = {at for channel, at in member.channels if channel in gone}
            if member.takes:
                left[member.layer][0].difference_update(own)
            if member.gives:
                left[member.layer][1].difference_update(own)
    return left


@torch.no_grad()
def narrow(layer: nn.Module, takes: Sequence[int], gives: Sequence[int]) -> None:
    """Keep these input and output channels of one layer, in place."""
    rows, columns = torch.tensor(gives), torch.tensor(takes)
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        if is_depthwise(layer):
            _replace(layer, "weight", rows)
            layer.groups = len(gives)
        else:
            transposed = isinstance(layer, nn.ConvTranspose2d)
            _replace(layer, "weight", columns if transposed else rows)
            _replace(layer, "weight", rows if transposed else columns, axis=1)
        layer.in_channels, layer.out_channels = len(takes), len(gives)
        _replace(layer, "bias", rows)
    elif isinstance(layer, nn.Linear):
        _replace(layer, "weight", rows)
        _replace(layer, "weight", columns, axis=1)
        layer.in_features, layer.out_features = len(takes), len(gives)
        _replace(layer, "bias", rows)
    elif isinstance(layer, nn.BatchNorm2d):
        for name in ("weight", "bias", "running_mean", "running_var"):
            _replace(layer, name, rows)
        layer.num_features = len(gives)
    elif isinstance(layer, nn.PReLU):
        _replace(layer, "weight", rows)
        layer.num_parameters = len(gives)


def _replace(layer: nn.Module, name: str, keep: torch.Tensor, axis: int = 0) -> None:
    old = getattr(layer, name)
    if old is None:
        return
    new = old.detach().index_select(axis, keep.to(old.device)).contiguous()
    if isinstance(old, nn.Parameter):
        setattr(layer, name, nn.Parameter(new, requires_grad=old.requires_grad))
    else:
        setattr(layer, name, new)


def replay(module: nn.Module, step: StepDone) -> nn.Module:
    """Give a fresh network the widths a prune step recorded; a state dict brings the weights.

    Raises:
        CheckpointError: the network has no such layers, or they are narrower already.
    """
    if not {"widths", SPARSE} & set(step.metadata):
        raise CheckpointError(
            "the checkpoint's prune step does not say what it cut, so that the network cannot be "
            "rebuilt; use the edgeseg that wrote the checkpoint, or a later one"
        )
    present = widths_of(module)
    for name, (inputs, outputs) in step.metadata.get("widths", {}).items():
        if name not in present or present[name][0] < inputs or present[name][1] < outputs:
            raise CheckpointError(
                f"the checkpoint's prune step narrows {name} to {inputs} -> {outputs}; this "
                f"edgeseg's network has {present.get(name, 'no such layer')}"
            )
        if present[name] != (inputs, outputs):
            narrow(module.get_submodule(name), range(inputs), range(outputs))
    return module


def widths_table(module: nn.Module, before: Widths) -> str:
    """Return the convolutions' widths before and after as text, one line a layer.

    Args:
        module: the pruned network.
        before: widths_of the network it came from.
    """
    after = widths_of(module)
    rows = [("layer", "in", "out", "")]
    for name, layer in module.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            sides = [
                f"{old} -> {new}" if old != new else str(new)
                for old, new in zip(before[name], after[name], strict=True)
            ]
            rows.append((name, *sides, "depthwise" if is_depthwise(layer) else ""))
    spans = [max(len(row[column]) for row in rows) + 2 for column in range(3)]
    return "".join(
        (f"{row[0]:{spans[0]}}{row[1]:{spans[1]}}{row[2]:{spans[2]}}{row[3]}").rstrip() + "\n"
        for row in rows
    )
