"""How much each channel of a unit matters: importances by name.

    magnitude   L2 norm of the weights that make and read a channel; Li et al. 2017
                (arXiv 1608.08710), summed over the group as in Fang et al. 2023 (arXiv 2301.12900)
    bn          |scale| of the batch norms; Liu et al. 2017 (arXiv 1708.06519)
    taylor      |weight x gradient| of the loss on training crops; Molchanov et al. 2019
                (arXiv 1906.10771)
    fpgm        distance to the other filters: what others can stand in for goes first;
                He et al. 2019 (arXiv 1811.00250)
    lamp        magnitude over that of the channels still there; Lee et al. 2021 (arXiv 2010.07611)
    random      the control: what the others must beat

Each unit's scores have mean 1 (lamp and random keep their own scale, 0 to 1), which makes units
comparable when one threshold is laid over the whole network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
import torch_pruning
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.host.models.label_net import resize_logits
from edgeseg.host.pruning.options import IMPORTANCES, NEED_DATA
from edgeseg.host.pruning.units import Unit
from edgeseg.host.training.crops import Batch
from edgeseg.host.training.loss.losses import segmentation_loss


@torch.no_grad()
def _filter_distances(group: Any) -> torch.Tensor | None:
    """Return each filter's summed distance to the others, mean 1; He et al. 2019, equation 4.

    Torch-Pruning's own takes distances between squared weights, which makes a filter and its
    negative the same.
    """
    total: torch.Tensor | None = None
    for item in group.items:
        layer = item.dep.target.module
        makes = item.dep.handler in (
            torch_pruning.prune_conv_out_channels,
            torch_pruning.prune_linear_out_channels,
        )
        if not makes:
            continue
        transposed = isinstance(layer, nn.ConvTranspose2d)
        weight = layer.weight.transpose(0, 1) if transposed else layer.weight
        filters = weight[item.idxs].flatten(1).float()
        distances = torch.zeros(len(group[0].idxs), device=filters.device)
        distances[item.root_idxs] = torch.cdist(filters, filters).sum(1)
        total = distances if total is None else total + distances
    return None if total is None else total / total.mean()


def magnitude() -> Any:
    """Return the scorer by the L2 norm of the weights."""
    return torch_pruning.importance.GroupMagnitudeImportance(p=2)


def bn() -> Any:
    """Return the scorer by the scales of the batch norms."""
    return torch_pruning.importance.BNScaleImportance()


def taylor() -> Any:
    """Return the scorer by weight times gradient."""
    return torch_pruning.importance.GroupTaylorImportance()


def fpgm() -> Any:
    """Return the scorer by the distances between filters."""
    return _filter_distances


def lamp() -> Any:
    """Return the scorer by the magnitude among the channels that are still there."""
    return torch_pruning.importance.LAMPImportance()


def random() -> Any:
    """Return the scorer that draws."""
    return torch_pruning.importance.RandomImportance()


def score_units(
    module: nn.Module,
    units: Sequence[Unit],
    importance: str,
    batches: Iterable[Batch] = (),
    *,
    ignore_index: int = 255,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> list[torch.Tensor]:
    """Score every channel of every unit; larger is more important.

    Args:
        module: the network that the units were found in.
        units: what to score.
        importance: a key of IMPORTANCES.
        batches: normalized images N,3,h,w with labels N,h,w; used by "taylor" only, whose scores
            are the mean over the batches.
        ignore_index: label that counts for nothing.
        seed: of "random".
        progress: told the number of batches seen.

    Returns:
        For each unit a float tensor of its width.

    Raises:
        UsageError: "taylor" got no batch, or a unit has no batch norm for "bn" to read.
    """
    scorer = IMPORTANCES.load(importance)()
    if importance not in NEED_DATA:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return [_scores(scorer, unit, importance) for unit in units]
    totals = [torch.zeros(unit.width) for unit in units]
    count = 0
    for images, labels in batches:
        module.zero_grad(set_to_none=True)
        logits = resize_logits(module(images).float(), labels.shape[-2:])
        loss = segmentation_loss(logits, labels, weights=None, ignore_index=ignore_index)
        loss.backward()  # type: ignore[no-untyped-call]
        for total, unit in zip(totals, units, strict=True):
            total += _scores(scorer, unit, importance)
        count += 1
        progress(count)
    module.zero_grad(set_to_none=True)
    if count == 0:
        raise UsageError(f"importance {importance} looks at the loss: give --data")
    return [total / count for total in totals]


def _scores(scorer: Any, unit: Unit, importance: str) -> torch.Tensor:
    scores = scorer(unit.group)
    if scores is None or len(scores) != unit.width:
        raise UsageError(
            f"importance {importance} finds nothing to read at {unit.name}; take magnitude"
        )
    scores = scores.detach().float().cpu()
    # A unit whose weights are all zero has 0/0: nothing in it matters.
    return torch.nan_to_num(scores, nan=0.0)
