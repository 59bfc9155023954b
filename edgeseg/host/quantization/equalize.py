"""Cross-layer equalization: rescales channels so that their weights have like ranges.

A ReLU passes positive factors through, so channel i between two convolutions may be divided by
s_i in the first and multiplied by s_i in the second. With r1 and r2 the largest weights of the
channel on either side, s = sqrt(r1 / r2) makes both sqrt(r1 r2). Depthwise layers, whose channels
differ most, gain most.
Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias
Correction" (arXiv 1906.04721), section 4.1, eq. 11.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import fx, nn

# Chains of pairs are swept until no factor is further than this from 1.
TOLERANCE = 1e-3
SWEEPS = 100
# Bounds of one factor: a channel that is all but dead must not drag its neighbour to infinity.
LARGEST = 1e3
HOMOGENEOUS_MODULES = (nn.ReLU, nn.Identity, nn.Dropout, nn.Dropout2d)
HOMOGENEOUS_FUNCTIONS = (F.relu, torch.relu, F.dropout)


def equalize(graph_module: fx.GraphModule) -> list[tuple[str, str]]:
    """Equalize every pair of convolutions that only a ReLU or nothing stands between, in place.

    Args:
        graph_module: a traced network whose batch norms are folded.

    Returns:
        The pairs, by name, in execution order; empty for a network without any.
    """
    modules = dict(graph_module.named_modules())
    names = equalizable(graph_module)
    pairs = [(modules[first], modules[second]) for first, second in names]
    for _ in range(SWEEPS):
        furthest = 1.0
        for first, second in pairs:
            assert isinstance(first, nn.Conv2d)
            assert isinstance(second, nn.Conv2d)
            furthest = max(furthest, _equalize_pair(first, second))
        if furthest < 1 + TOLERANCE:
            break
    return names


def equalizable(graph_module: fx.GraphModule) -> list[tuple[str, str]]:
    """Return the pairs (first, second) of convolutions that may share factors."""
    modules = dict(graph_module.named_modules())
    calls = [node.target for node in graph_module.graph.nodes if node.op == "call_module"]
    pairs = []
    for node in graph_module.graph.nodes:
        if not _is_conv(node, modules) or calls.count(node.target) > 1:
            continue
        reader = node
        while len(reader.users) == 1:
            (reader,) = reader.users
            if not _passes_factors(reader, modules):
                break
        if reader is not node and _is_conv(reader, modules) and calls.count(reader.target) == 1:
            pairs.append((str(node.target), str(reader.target)))
    return pairs


def _is_conv(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    return node.op == "call_module" and type(modules[str(node.target)]) is nn.Conv2d


def _passes_factors(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        # By exact type: ReLU6 and its kin derive from others but clip.
        return type(modules[str(node.target)]) in HOMOGENEOUS_MODULES
    if node.op == "call_function":
        return node.target in HOMOGENEOUS_FUNCTIONS
    return node.op == "call_method" and node.target == "relu"


@torch.no_grad()
def _equalize_pair(first: nn.Conv2d, second: nn.Conv2d) -> float:
    """Equalize one pair; return the largest of all factors and their inverses."""
    groups = second.groups
    # weight (out, in / groups, kh, kw): input channel g * (in / groups) + j is read by column j
    # of the output rows of group g.
    columns = second.weight.view(groups, second.out_channels // groups, -1,
                                 *second.kernel_size)  # fmt: skip
    r1 = first.weight.abs().amax((1, 2, 3))
    r2 = columns.abs().amax((1, 3, 4)).flatten()
    factor = (r1 / r2.clamp_min(1e-12)).sqrt().clamp(1 / LARGEST, LARGEST)
    factor = torch.where((r1 > 0) & (r2 > 0), factor, torch.ones_like(factor))
    first.weight.div_(factor.view(-1, 1, 1, 1))
    if first.bias is not None:
        first.bias.div_(factor)
    columns.mul_(factor.view(groups, 1, -1, 1, 1))
    return float(torch.maximum(factor, 1 / factor).max())
