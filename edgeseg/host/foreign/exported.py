"""A graph by torch.export, where Python cannot be followed, in the words that tracing gives."""

from __future__ import annotations

import operator
import warnings
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

aten: Any = torch.ops.aten
# What each operator is as a function with the same arguments in the same order.
FUNCTIONS: dict[Any, Any] = {
    aten.adaptive_avg_pool2d.default: F.adaptive_avg_pool2d,
    aten.avg_pool2d.default: F.avg_pool2d,
    aten.cat.default: torch.cat,
    aten.dropout.default: F.dropout,
    aten.max_pool2d.default: F.max_pool2d,
    aten.relu.default: F.relu,
    aten.relu_.default: F.relu,
}
# What changes no value.
PASSING = (
    aten.alias.default,
    aten.clone.default,
    aten.contiguous.default,
    aten.detach.default,
    aten.lift_fresh_copy.default,
)
CHECKS = ("_assert", "sym_constrain", "_guard")


def exported(module: nn.Module, size_hw: tuple[int, int]) -> fx.Graph:
    """Return the graph of a module; its get_attr nodes name what `module` holds.

    Args:
        module: from N,3,h,w to logits, in evaluation mode. Gets the constants of its code as
            buffers.
        size_hw: of the example; other sizes and batches are kept possible where they are.

    Raises:
        Exception: torch.export cannot follow it; its own many kinds.
    """
    free = dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Two pictures, since a one would be taken as a constant.
        program = torch.export.export(
            module, (torch.zeros(2, 3, *size_hw),), dynamic_shapes=(free,), strict=False
        )
    signature = program.graph_signature
    held = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    for name in signature.inputs_to_lifted_tensor_constants.values():
        own = name.replace(".", "_")
        held = {key: own if value == name else value for key, value in held.items()}
        module.register_buffer(own, program.constants[name].clone())
    graph, new = fx.Graph(), {}
    for node in program.graph.nodes:
        if node.op == "placeholder":
            name = held.get(node.name)
            new[node] = graph.get_attr(name) if name else graph.placeholder(node.name)
        elif node.op == "output":
            first = next(n for n in node.args[0] if n.name == signature.user_outputs[0])
            graph.output(new[first])
        elif not str(node.target).rpartition("::")[2].split(".")[-2:][0].startswith(CHECKS):
            new[node] = _call(graph, node, new)
            if isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable:
                # It writes into its input, which later readers find changed.
                new[node.args[0]] = new[node]
    graph.lint()
    return graph


def _call(graph: fx.Graph, node: fx.Node, new: dict[fx.Node, fx.Node]) -> fx.Node:
    args: Any = fx.node.map_arg(node.args, new.__getitem__)
    kwargs: Any = fx.node.map_arg(node.kwargs, new.__getitem__)
    target = node.target
    if target in PASSING:
        passed: fx.Node = args[0]
        return passed
    if target is aten.sym_size.int:
        return graph.call_method("size", args)
    if target in (aten.add.Tensor, aten.add_.Tensor) and len(args) == 2 and not kwargs:
        return graph.call_function(operator.add, args)
    if target is aten.mean.dim and _is_global(args):
        return graph.call_function(F.adaptive_avg_pool2d, (args[0], 1))
    return graph.call_function(FUNCTIONS.get(target, target), args, kwargs)


def _is_global(args: tuple[Any, ...]) -> bool:
    return len(args) == 3 and {d % 4 for d in args[1]} == {2, 3} and args[2] is True
