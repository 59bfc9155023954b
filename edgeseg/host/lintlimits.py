"""Lint rules on what an operator's table row allows beside its types: constants, ranks, counts."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from edgeseg.core.graphview import GraphView, attributes
from edgeseg.host.finding import Finding, Rule, found
from edgeseg.host.tensorrtlines import CONSTANT_INPUTS, TOPK_LIMIT, Line

POOLS = ("MaxPool", "AveragePool", "LpPool")


def constant_inputs(view: GraphView, line: Line) -> Iterator[Finding]:
    """Axes and the like that are computed inside the graph."""
    for node in view.nodes:
        for place, name in CONSTANT_INPUTS.get(node.op_type, {}).items():
            if place < len(node.input) and node.input[place] and not _known(view, node, place):
                yield found(
                    "constant-input", "error", node,
                    f"its {name} are computed; TensorRT reads {node.op_type} with constant {name}",
                    f"give {name} as a constant",
                )  # fmt: skip


def limits(view: GraphView, line: Line) -> Iterator[Finding]:
    """Ranks, counts and outputs beyond an operator's row of the table."""
    for node in view.nodes:
        message = _beyond(view, node)
        if message:
            yield found(
                "limit",
                "error",
                node,
                message,
                "write it within that limit, or leave it to the host",
            )


def subgraphs(view: GraphView, line: Line) -> Iterator[Finding]:
    """Branches and loops, whose inner graphs no rule looks at."""
    for node in view.nodes:
        if any(a.type == onnx.AttributeProto.GRAPH for a in node.attribute):
            yield found(
                "subgraph", "warning", node,
                f"{node.op_type} holds a graph of its own, which these rules do not look into",
                "export without control flow",
            )  # fmt: skip


def _known(view: GraphView, node: onnx.NodeProto, place: int) -> bool:
    name = node.input[place]
    source = view.producers.get(name)
    return name in view.constants or (source is not None and source.op_type == "Constant")


def _beyond(view: GraphView, node: onnx.NodeProto) -> str:
    values = attributes(node)
    shape = view.shape_of(node.input[0]) if node.input else None
    if node.op_type in POOLS and shape is not None and len(shape) not in (4, 5):
        return f"it pools a tensor of {len(shape)} axes; TensorRT pools in two or three dimensions"
    if node.op_type == "GridSample" and shape is not None and len(shape) != 4:
        return f"it samples a tensor of {len(shape)} axes; TensorRT samples N,C,H,W"
    if node.op_type == "TopK":
        return _topk(view, node)
    if node.op_type == "LayerNormalization" and any(node.output[1:]):
        return "its mean or deviation is read; TensorRT gives the first output alone"
    if node.op_type == "Dropout" and len(node.input) > 2 and node.input[2]:
        training = view.constants.get(node.input[2])
        if training is None or training.any():
            return "it drops values at inference; TensorRT reads Dropout with training_mode false"
    if node.op_type == "Constant" and {"sparse_value", "value_string", "value_strings"} & set(
        values
    ):
        return "it holds a sparse tensor or text, which TensorRT does not read"
    return ""


def _topk(view: GraphView, node: onnx.NodeProto) -> str:
    if attributes(node).get("sorted", 1) != 1:
        return "sorted=0 is not read"
    count = view.constants.get(node.input[1]) if len(node.input) > 1 else None
    if count is not None and int(count.flatten()[0]) >= TOPK_LIMIT:
        return f"its K is {int(count.flatten()[0])}; TensorRT's must be less than {TOPK_LIMIT}"
    return ""


LIMIT_RULES: tuple[Rule, ...] = (constant_inputs, limits, subgraphs)
