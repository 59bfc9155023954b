"""Runs a traced network in float and in INT8 side by side, node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx, nn

from edgeseg.host.quantization.fake_quant.layers import (
    ActivationQuantizer,
    QuantConv2d,
    QuantConvTranspose2d,
    ResidualObserver,
)

# Told of each convolution: its node, its layer, what it reads in INT8 and what it gives in float,
# one tensor a batch. It may change the layer's weight and bias; the INT8 side then uses those.
Visit = Callable[[fx.Node, nn.Module, list[torch.Tensor], list[torch.Tensor]], None]


@torch.no_grad()
def walk(module: fx.GraphModule, batches: Sequence[torch.Tensor], visit: Visit) -> None:
    """Run all batches through both forms of a fake-quantized network, node after node.

    When a convolution is visited, everything before it is final, so that each layer is adjusted
    to inputs as they will be. Memory holds the live tensors of all batches, twice.

    Args:
        module: what `quantize` made, quantizing.
        batches: normalized inputs N,3,H,W.
        visit: called at every convolution, in execution order.
    """
    modules = dict(module.named_modules())
    done = last_readers(module.graph)
    in_float: list[dict[fx.Node, Any]] = [{} for _ in batches]
    in_int8: list[dict[fx.Node, Any]] = [{} for _ in batches]
    for node in module.graph.nodes:
        layer = modules[str(node.target)] if node.op == "call_module" else None
        switch(layer, False)
        for values, batch in zip(in_float, batches, strict=True):
            values[node] = execute(node, values, modules, batch)
        switch(layer, True)
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            reads = [values[node.args[0]] for values in in_int8]
            visit(node, layer, reads, [values[node] for values in in_float])
        for values, batch in zip(in_int8, batches, strict=True):
            values[node] = execute(node, values, modules, batch)
        for finished in done.get(node, ()):
            for values in (*in_float, *in_int8):
                del values[finished]


def execute(
    node: fx.Node, values: dict[fx.Node, Any], modules: dict[str, nn.Module], batch: torch.Tensor
) -> Any:
    """Compute one node from the values of those before it; `batch` is the network's input."""
    if node.op == "placeholder":
        return batch
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), values.__getitem__)
    if node.op == "call_module":
        return modules[str(node.target)](*args, **kwargs)
    if node.op == "call_function":
        assert callable(node.target)
        return node.target(*args, **kwargs)
    if node.op == "call_method":
        return getattr(args[0], str(node.target))(*args[1:], **kwargs)
    if node.op == "output":
        return args[0]
    raise NotImplementedError(f"node {node.name} of kind {node.op}")


def last_readers(graph: fx.Graph) -> dict[fx.Node, list[fx.Node]]:
    """Return for each node the values that nothing reads after it."""
    last: dict[fx.Node, fx.Node] = {}
    for node in graph.nodes:
        last[node] = node
        for source in node.all_input_nodes:
            last[source] = node
    done: dict[fx.Node, list[fx.Node]] = {}
    for source, reader in last.items():
        done.setdefault(reader, []).append(source)
    return done


def switch(layer: nn.Module | None, quantizing: bool) -> None:
    """Switch one layer's fake quantization, if it has any that deployment applies."""
    if isinstance(layer, (ActivationQuantizer, QuantConv2d, QuantConvTranspose2d)) and (
        not isinstance(layer, ResidualObserver)
    ):
        layer.quantizing = quantizing
