"""A network as a graph of torch.fx, and what kind of operation each of its nodes is."""

from __future__ import annotations

import operator
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeseg.host.models.blocks import IndexedMaxPool2d, MaxUnpool2d

MODULE_KINDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    ("conv", (nn.Conv2d, nn.ConvTranspose2d)),
    ("indexed_pool", (IndexedMaxPool2d,)),
    ("max_pool", (nn.MaxPool2d,)),
    ("unpool", (MaxUnpool2d,)),
    ("average_pool", (nn.AdaptiveAvgPool2d, nn.AvgPool2d)),
    ("identity", (nn.Dropout, nn.Dropout2d, nn.Identity)),
)
FUNCTION_KINDS: dict[Any, str] = {
    operator.add: "add",
    operator.iadd: "add",
    torch.add: "add",
    torch.cat: "concat",
    F.max_pool2d: "max_pool",
    F.avg_pool2d: "average_pool",
    F.adaptive_avg_pool2d: "average_pool",
    F.dropout: "identity",
    operator.getitem: "item",
    getattr: "shape",
}


class Tracer(fx.Tracer):
    """Traces a network down to torch's own layers and the pooling leaves."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Keep the index path of pooling in one piece."""
        if isinstance(m, (IndexedMaxPool2d, MaxUnpool2d)):
            return True
        return super().is_leaf_module(m, module_qualified_name)


def trace(module: nn.Module) -> fx.GraphModule:
    """Return `module` as a graph that shares its layers."""
    if isinstance(module, fx.GraphModule):
        copied = fx.Graph()
        copied.output(copied.graph_copy(module.graph, {}))
        return fx.GraphModule(module, copied, type(module).__name__)
    graph = Tracer().trace(module)
    return fx.GraphModule(module, graph, type(module).__name__)


def head_of(module: nn.Module) -> str:
    """Return the name of the layer that gives one map for each class, the network's last one.

    Args:
        module: a network with a layer `classifier`, or a graph.
    """
    if isinstance(getattr(module, "classifier", None), (nn.Conv2d, nn.ConvTranspose2d)):
        return "classifier"
    if not isinstance(module, fx.GraphModule):
        return ""
    layers = dict(module.named_modules())
    called = [str(n.target) for n in module.graph.nodes if kind_of(n, layers) == "conv"]
    return called[-1] if called else ""


def kind_of(node: fx.Node, modules: dict[str, nn.Module]) -> str:
    """Return what a node does: a kind of the tables above, "shape", "output" or "other".

    Args:
        node: of a traced network.
        modules: its modules by name; without them, every layer is "other".
    """
    if node.op == "call_module":
        layer = modules.get(str(node.target))
        for kind, types in MODULE_KINDS:
            if isinstance(layer, types):
                return kind
        return "other"
    if node.op == "call_function":
        kind = FUNCTION_KINDS.get(node.target, "other")
        # x + 1 is arithmetic, not a residual.
        if kind == "add" and len(node_inputs(node)) != 2:
            return "other"
        if kind == "item" and not (node.args[1] == 0 and _pools(node.args[0], modules)):
            return "other"
        return kind
    if node.op == "call_method":
        return {"size": "shape", "mean": "average_pool", "add": "add"}.get(
            str(node.target), "other"
        )
    return "output" if node.op == "output" else "other"


def _pools(node: Any, modules: dict[str, nn.Module]) -> bool:
    return isinstance(node, fx.Node) and kind_of(node, modules) == "indexed_pool"


def node_inputs(node: fx.Node) -> list[fx.Node]:
    """Return the tensors a node reads as arguments of their own, not in a list."""
    return [argument for argument in node.args if isinstance(argument, fx.Node)]


def concat_inputs(node: fx.Node) -> list[fx.Node]:
    """Return the tensors that a concatenation puts together."""
    tensors = node.args[0] if node.args else node.kwargs["tensors"]
    return [tensor for tensor in tensors if isinstance(tensor, fx.Node)]  # type: ignore[union-attr]
