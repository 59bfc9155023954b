"""Lint rules on what an operator's table row allows beside its types: modes, ranks, constants."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from edgeseg.core.graph.view import GraphView, attributes
from edgeseg.lint.finding import Finding, Remark, found, remarks
from edgeseg.lint.tensorrt_versions import (
    CONSTANT_INPUTS,
    RESIZE_COORDINATES,
    RESIZE_MODES,
    RESIZE_NEAREST,
    TOPK_LIMIT,
    Line,
)

POOLS = ("MaxPool", "AveragePool", "LpPool")


@remarks(
    Remark(
        "constant-input",
        "error",
        "axes of Slice, Squeeze, Reduce and Pad, CumSum's axis and OneHot's depth are constants",
    ),
)
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


@remarks(
    Remark(
        "limit",
        "error",
        "pooling in two or three dimensions, GridSample on N,C,H,W, TopK sorted and below "
        "3840, LayerNormalization's first output, no Dropout that drops, no sparse "
        "constants",
    ),
)
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


@remarks(
    Remark(
        "resize",
        "error, warning",
        "nearest and linear only, no antialiasing; a size computed in the graph is a warning",
    ),
)
def resize(view: GraphView, line: Line) -> Iterator[Finding]:
    """Resize modes beyond nearest and linear, and sizes that are not constants."""
    for node in view.nodes:
        if node.op_type != "Resize":
            continue
        values = attributes(node)
        mode = values.get("mode", "nearest")
        checks = [
            ("mode", mode, RESIZE_MODES),
            (
                "coordinate_transformation_mode",
                values.get("coordinate_transformation_mode", "half_pixel"),
                RESIZE_COORDINATES,
            ),
            ("keep_aspect_ratio_policy", values.get("keep_aspect_ratio_policy", "stretch"),
             {"stretch"}),
        ]  # fmt: skip
        if mode == "nearest":
            rounding = values.get("nearest_mode", "round_prefer_floor")
            checks.append(("nearest_mode", rounding, RESIZE_NEAREST))
        for name, value, allowed in checks:
            if value not in allowed:
                yield found(
                    "resize", "error", node,
                    f"{name}={value} is not read; TensorRT has {', '.join(sorted(allowed))}",
                    "use mode=linear with half_pixel, torch's align_corners=False",
                )  # fmt: skip
        if values.get("antialias", 0) or "axes" in values:
            yield found(
                "resize", "error", node, "antialias and axes are not read",
                "resize height and width of N,C,H,W without antialiasing",
            )  # fmt: skip
        if any(name and name not in view.constants for name in node.input[1:]):
            yield found(
                "resize", "warning", node, "its size is computed inside the graph",
                "give the size or the factors as a constant",
            )  # fmt: skip


@remarks(
    Remark(
        "pool-indices",
        "error",
        "max pooling has no indices output",
    ),
    Remark(
        "pool-dilation",
        "error",
        "pooling windows have no dilation",
    ),
)
def pooling(view: GraphView, line: Line) -> Iterator[Finding]:
    """Max pooling with indices, and dilated pooling."""
    for node in view.nodes:
        if node.op_type not in ("MaxPool", "AveragePool"):
            continue
        if len(node.output) > 1 and node.output[1]:
            yield found(
                "pool-indices", "error", node,
                "TensorRT does not support the indices output in MaxPool",
                "export with edgeseg, which keeps positions as codes 1 to 4",
            )  # fmt: skip
        if any(d != 1 for d in attributes(node).get("dilations", ())):
            yield found(
                "pool-dilation", "error", node, "pooling windows cannot be dilated",
                "pool without dilation",
            )  # fmt: skip


@remarks(
    Remark(
        "scatter",
        "error",
        "no reduction",
    ),
)
def scatter(view: GraphView, line: Line) -> Iterator[Finding]:
    """Scatter with a reduction."""
    for node in view.nodes:
        reduction = attributes(node).get("reduction", "none")
        if node.op_type in ("ScatterND", "ScatterElements") and reduction != "none":
            yield found(
                "scatter", "error", node, f"reduction={reduction} is not read",
                "scatter without a reduction",
            )  # fmt: skip


@remarks(
    Remark(
        "dynamic-shape",
        "error",
        "edgeseg's engines have one size, and with it CUDA graphs",
    ),
)
def shapes(view: GraphView, line: Line) -> Iterator[Finding]:
    """Inputs whose size is open: edgeseg's engines have one size."""
    for name in view.inputs:
        if view.shape_of(name) is None:
            yield found(
                "dynamic-shape", "error", None,
                f"input {name!r} has an open size; an engine would need an optimisation profile "
                "and could not be captured in a CUDA graph",
                "export with the size the camera gives",
            )  # fmt: skip


@remarks(
    Remark(
        "transposed-weight",
        "error",
        "a transposed convolution's weight must be a constant",
    ),
)
def transposed_weights(view: GraphView, line: Line) -> Iterator[Finding]:
    """Transposed convolutions whose weight is computed."""
    for node in view.nodes:
        if node.op_type == "ConvTranspose" and not _constant(view, node.input[1]):
            yield found(
                "transposed-weight", "error", node, "its weight is computed; it must be a constant",
                "export the network again with this version of edgeseg",
            )  # fmt: skip


@remarks(
    Remark(
        "subgraph",
        "warning",
        "the graphs inside If, Loop and Scan are not looked at",
    ),
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


def _constant(view: GraphView, name: str) -> bool:
    seen: onnx.NodeProto | None = view.producers.get(name)
    while seen is not None and seen.op_type in ("DequantizeLinear", "QuantizeLinear"):
        name = seen.input[0]
        seen = view.producers.get(name)
    return name in view.constants
