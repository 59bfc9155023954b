"""Training on several processes: shared gradients, batch statistics and counts.

Gradients are averaged by torch's DistributedDataParallel. The rest is exact rather than averaged:
batch norm sees the statistics of the whole batch, a rank's loss weighs what its labelled pixels
weigh, and the counts of a sharded validation are added.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from edgeseg.core.metrics.confusion import ConfusionMatrix


@dataclasses.dataclass(frozen=True)
class Ranks:
    """This process among those that train together; by default it is alone.

    With more than one, torch.distributed's default group is initialized by the caller: gloo on
    CPUs, nccl on GPUs.

    Attributes:
        rank: 0 writes the files.
        count: number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process writes the run's files."""
        return self.rank == 0

    def wrap(self, module: nn.Module) -> nn.Module:
        """Return what to call in training; it shares `module`'s weights, rank 0's to begin with."""
        if self.count == 1:
            return module
        # Statistics are the same on every rank, see synchronized_norms.
        return DistributedDataParallel(module, forward_sync_buffers=False)

    def total(self, value: torch.Tensor) -> torch.Tensor:
        """Return the sum over all ranks, without gradients."""
        if self.count == 1:
            return value
        summed = value.detach().clone()
        dist.all_reduce(summed)
        return summed

    def weight(self, part: torch.Tensor) -> torch.Tensor:
        """Return what a mean over `part` items here weighs in the mean over all ranks' items.

        Multiplied by the number of ranks, since DistributedDataParallel divides by it.
        """
        if self.count == 1:
            return torch.ones_like(part, dtype=torch.float32)
        return part.float() * self.count / self.total(part).clamp(min=1)

    def add_counts(self, matrix: ConfusionMatrix, device: torch.device) -> ConfusionMatrix:
        """Return the counts of all ranks."""
        if self.count == 1:
            return matrix
        pairs = self.total(torch.from_numpy(matrix.pairs.copy()).to(device))
        return ConfusionMatrix.of_pairs(pairs.cpu().numpy(), matrix.n_classes, matrix.ignore_index)

    def wait(self) -> None:
        """Wait until every rank is here, such as until rank 0 has written its files."""
        if self.count > 1:
            dist.barrier()


ALONE = Ranks()


class _SumOverRanks(torch.autograd.Function):
    """Sum of every rank's tensor; a gradient flows back to every rank's."""

    @staticmethod
    def forward(ctx: object, value: torch.Tensor) -> torch.Tensor:
        summed = value.clone()
        dist.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> torch.Tensor:
        summed = gradient.contiguous().clone()
        dist.all_reduce(summed)
        return summed


@contextlib.contextmanager
def synchronized_norms(module: nn.Module, ranks: Ranks) -> Iterator[int]:
    """Let every BatchNorm2d of `module` use the statistics of all ranks' batches together.

    torch's SyncBatchNorm runs on GPUs only; this one runs wherever all_reduce does. Layers stay
    what they are, and are as before when the context ends. Yields the number of layers.
    """
    layers = [m for m in module.modules() if isinstance(m, nn.BatchNorm2d)]
    if ranks.count == 1:
        layers = []
    for layer in layers:
        layer.forward = functools.partial(_synchronized, layer)  # type: ignore[method-assign]
    try:
        yield len(layers)
    finally:
        for layer in layers:
            del layer.forward


def _synchronized(layer: nn.BatchNorm2d, x: torch.Tensor) -> torch.Tensor:
    if not layer.training:
        return nn.BatchNorm2d.forward(layer, x)
    with torch.autocast(x.device.type, enabled=False):
        values = x.float()
        count = torch.tensor([values.numel() / values.shape[1]], device=x.device)
        sums: torch.Tensor = _SumOverRanks.apply(  # type: ignore[no-untyped-call]
            torch.cat([values.sum((0, 2, 3)), count])
        )
        total = sums[-1].detach()
        centred = values - (sums[:-1] / total).view(1, -1, 1, 1)
        squares: torch.Tensor = _SumOverRanks.apply(centred.square().sum((0, 2, 3)))  # type: ignore[no-untyped-call]
        variance = squares / total
        _track(layer, (sums[:-1] / total).detach(), variance.detach(), total)
        gain = torch.rsqrt(variance + layer.eps)
        if layer.affine:
            gain = gain * layer.weight
        result = centred * gain.view(1, -1, 1, 1)
        if layer.affine:
            result = result + layer.bias.view(1, -1, 1, 1)
    return result.to(x.dtype)


@torch.no_grad()
def _track(
    layer: nn.BatchNorm2d, mean: torch.Tensor, variance: torch.Tensor, total: torch.Tensor
) -> None:
    """Move the running statistics as BatchNorm2d does: variance unbiased, momentum or average."""
    if layer.running_mean is None or layer.running_var is None:
        return
    momentum = layer.momentum
    if layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        if momentum is None:
            momentum = 1 / float(layer.num_batches_tracked)
    rate = 0.0 if momentum is None else momentum
    layer.running_mean.lerp_(mean.to(layer.running_mean), rate)
    unbiased = variance * total / (total - 1).clamp(min=1)
    layer.running_var.lerp_(unbiased.to(layer.running_var), rate)
