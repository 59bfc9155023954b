"""Batch-norm folding over a traced graph: fewer nodes, the same function."""

from __future__ import annotations

import torch
from torch import fx, nn


def fold_batch_norms(graph_module: fx.GraphModule) -> dict[str, str]:
    """Fold every BatchNorm2d that directly follows a convolution into it, in place.

    For y = g (Wx + b - m) / sqrt(v + e) + h, with k = g / sqrt(v + e): W' = kW, b' = k (b - m) + h,
    per output channel (Jacob et al. 2018, section 3.2). Computed in float64, so that the only
    change is the rounding of the result to the weight's own type.

    A batch norm stays when its convolution has another reader, or serves more than one call.

    Returns:
        The convolutions that took a batch norm, each with the batch norm's name.
    """
    modules = dict(graph_module.named_modules())
    calls = [node.target for node in graph_module.graph.nodes if node.op == "call_module"]
    folded: dict[str, str] = {}
    for node in list(graph_module.graph.nodes):
        if node.op != "call_module" or not isinstance(modules[node.target], nn.BatchNorm2d):
            continue
        source = node.args[0]
        if not (isinstance(source, fx.Node) and source.op == "call_module"):
            continue
        conv = modules[source.target]
        if (
            not isinstance(conv, (nn.Conv2d, nn.ConvTranspose2d))
            or len(source.users) > 1
            or calls.count(source.target) > 1
            or calls.count(node.target) > 1
        ):
            continue
        _fold(conv, modules[node.target])
        node.replace_all_uses_with(source)
        graph_module.graph.erase_node(node)
        folded[str(source.target)] = str(node.target)
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()
    return folded


@torch.no_grad()
def _fold(conv: nn.Conv2d | nn.ConvTranspose2d, norm: nn.BatchNorm2d) -> None:
    if norm.running_mean is None or norm.running_var is None:
        raise ValueError("a batch norm without running statistics cannot be folded")
    ones = torch.ones_like(norm.running_mean)
    gain = (norm.weight if norm.affine else ones).double()
    gain = gain * torch.rsqrt(norm.running_var.double() + norm.eps)
    shift = (norm.bias if norm.affine else 0 * ones).double()
    old_bias = conv.bias.double() if conv.bias is not None else 0.0
    weight = conv.weight.double()
    if isinstance(conv, nn.ConvTranspose2d):
        # Weight is (in, out / groups, kh, kw); output channel g * (out / groups) + j sits at
        # column j of the input rows of group g.
        per_group = gain.view(conv.groups, 1, -1).expand(-1, conv.in_channels // conv.groups, -1)
        weight = weight * per_group.reshape(conv.in_channels, -1, 1, 1)
    else:
        weight = weight * gain.view(-1, 1, 1, 1)
    bias = (old_bias - norm.running_mean.double()) * gain + shift
    conv.weight = nn.Parameter(weight.to(conv.weight.dtype))
    conv.bias = nn.Parameter(bias.to(conv.weight.dtype))
