"""Refitting the weights that read removed channels, so that a pruned network starts near its goal.

What a convolution has lost can in part be told from the channels it still reads. So its weights
become those that, from the channels left, best give the outputs it had (least squares over sampled
positions of some frames), with an intercept that goes into the bias, or into the
batch norm after it. One pass over the dense network gathers all that is needed.
Source: He et al. 2017 (arXiv 1707.06168), section 3.1, reconstruction; here for all layers at once
from the dense network's own activations, and with ridge towards the weights as they were.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.host.pruning.cut import Removed, channels_left, is_depthwise, widths_of
from edgeseg.host.pruning.units import Unit
from edgeseg.host.training.crops import Batch

# Positions of one frame at which a layer is sampled.
SAMPLES = 2000
# Weight of the old weights against the data, as a share of each input's mean square.
RIDGE = 1e-4

# Positions that a layer must be seen at for each weight of an output.
ENOUGH = 2


@dataclasses.dataclass
class _Layer:
    """One convolution to refit: what it keeps, and the sums that least squares needs."""

    takes: torch.Tensor
    gives: torch.Tensor
    inputs: torch.Tensor
    outputs: torch.Tensor
    norm: str = ""


Refit = dict[str, tuple[torch.Tensor, torch.Tensor, str]]


@torch.no_grad()
def refit_weights(
    module: nn.Module,
    units: Iterable[Unit],
    removed: Removed,
    batches: Iterable[Batch],
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> Refit:
    """Return weights for the convolutions that will read fewer channels.

    Depthwise and transposed convolutions keep theirs: the former lose no input of the channels
    they keep.

    Args:
        module: the dense network in evaluation mode.
        units: its units.
        removed: unit name -> the channels that go.
        batches: normalized images N,3,h,w with labels, which are not looked at.
        progress: told the number of batches seen.

    Returns:
        Layer name -> weight out,in,kh,kw of the narrow layer, intercept by output, and the name of
        the batch norm whose mean takes the intercept, "" for the layer's own bias.

    Raises:
        UsageError: there was no batch.
    """
    names = {layer: name for name, layer in module.named_modules()}
    left = channels_left(widths_of(module), units, removed)
    layers: dict[str, _Layer] = {}
    for name, (takes, gives) in left.items():
        layer = module.get_submodule(name)
        if (
            isinstance(layer, nn.Conv2d)
            and not is_depthwise(layer)
            and layer.groups == 1
            and layer.padding_mode == "zeros"
            and not isinstance(layer.padding, str)
            and len(takes) < layer.in_channels
        ):
            span = len(takes) * math.prod(layer.kernel_size) + 1
            layers[name] = _Layer(
                torch.tensor(sorted(takes)),
                torch.tensor(sorted(gives)),
                torch.zeros(span, span, dtype=torch.float64),
                torch.zeros(span, len(gives), dtype=torch.float64),
            )
    made: dict[int, tuple[torch.Tensor, str]] = {}

    def saw(layer: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        name = names[layer]
        made[id(output)] = (output, name)
        if name in layers:
            _gather(layer, layers[name], inputs[0], output)

    def normed(layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        _, name = made.get(id(inputs[0]), (None, ""))
        if name in layers:
            layers[name].norm = names[layer]

    hooks = [layer.register_forward_hook(saw) for layer in names if isinstance(layer, nn.Conv2d)]
    hooks += [
        layer.register_forward_pre_hook(normed)
        for layer in names
        if isinstance(layer, nn.BatchNorm2d)
    ]
    count = 0
    try:
        for images, _ in batches:
            module(images)
            made.clear()
            count += 1
            progress(count)
    finally:
        for hook in hooks:
            hook.remove()
    if count == 0:
        raise UsageError("repair refits weights on images: give --data")
    return {
        name: (*_solve(module.get_submodule(name), layer), layer.norm)
        for name, layer in layers.items()
    }


@torch.no_grad()
def write_refit(module: nn.Module, refit: Refit) -> None:
    """Put refitted weights into the pruned network, in place."""
    for name, (weight, intercept, norm) in refit.items():
        layer: Any = module.get_submodule(name)
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.add_(intercept)
        elif norm:
            mean = module.get_submodule(norm).running_mean
            assert isinstance(mean, torch.Tensor)
            mean.sub_(intercept)


def _gather(layer: Any, here: _Layer, x: torch.Tensor, y: torch.Tensor) -> None:
    """Add the sampled positions of one batch to the sums of squares."""
    positions = len(y) * y.shape[2] * y.shape[3]
    generator = torch.Generator().manual_seed(0)
    picked = torch.randperm(positions, generator=generator)[:SAMPLES]
    frame, cell = picked // y[0, 0].numel(), picked % y[0, 0].numel()
    row, column = cell // y.shape[3], cell % y.shape[3]
    above, beside = layer.padding
    padded = F.pad(x[:, here.takes], (beside, beside, above, above))
    rows = row[:, None] * layer.stride[0] + torch.arange(layer.kernel_size[0]) * layer.dilation[0]
    columns = (
        column[:, None] * layer.stride[1] + torch.arange(layer.kernel_size[1]) * layer.dilation[1]
    )
    # Indexed like this the result is position,kh,kw,channel.
    cells = padded.permute(0, 2, 3, 1)[frame[:, None, None], rows[:, :, None], columns[:, None]]
    read = cells.permute(0, 3, 1, 2).flatten(1).double()
    read = torch.cat([read, torch.ones(len(read), 1, dtype=read.dtype)], 1)
    wanted = y.permute(0, 2, 3, 1)[frame, row, column][:, here.gives].double()
    if layer.bias is not None:
        wanted = wanted - layer.bias[here.gives].double()
    here.inputs += read.T @ read
    here.outputs += read.T @ wanted


def _solve(layer: Any, here: _Layer) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the weight and intercept that minimize the squared error plus the ridge."""
    squares, products = here.inputs, here.outputs
    old = layer.weight[here.gives][:, here.takes].double()
    span, seen = old[0].numel(), squares[-1, -1]
    start = old.flatten(1).T
    intercept = torch.zeros(len(old), dtype=old.dtype)
    takes_intercept = layer.bias is not None or bool(here.norm)
    if seen < ENOUGH * span:
        # Too few positions to tell weights from, such as behind global pooling: their mean error.
        if takes_intercept:
            intercept = (products[-1] - squares[-1, :-1] @ start) / seen
        return old.to(layer.weight.dtype), intercept.to(layer.weight.dtype)
    # Inputs that are all zero keep their weights; the intercept is not held back.
    power = squares.diagonal()[:span]
    ridge = torch.diag((RIDGE * power).clamp_min(float(1e-6 * power.mean())).clamp_min(1e-12))
    squares, products = squares.clone(), products.clone()
    squares[:span, :span] += ridge
    products[:span] += ridge @ start
    unknowns = span + 1 if takes_intercept else span
    found = torch.linalg.solve(squares[:unknowns, :unknowns], products[:unknowns])
    weight = found[:span].T.reshape(old.shape).to(layer.weight.dtype)
    if takes_intercept:
        intercept = found[span]
    return weight, intercept.to(layer.weight.dtype)
