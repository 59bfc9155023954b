"""Lint rules on what an operator's table row allows beside its types: modes, ranks, constants."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from edgeseg.core.graph.view import GraphView, attributes
from edgeseg.lint.finding import Finding, Remark, found, remarks
from edgeseg.lint.tensorrt_versions import (
    CONSTANT_INPUTS,
    DATA_DEPENDENT,
    GRID_MODES,
    MOST_AXES,
    OLDEST,
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
        "tensors of at most eight axes, no padding below 0, no batch normalization in training "
        "mode, GridSample on N,C,H,W under the mode names of opset 16 (others are sampled as "
        "nearest, silently), TopK sorted and below 3840, LayerNormalization's first output, no "
        "Dropout that drops, no sparse constants",
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
        for name in (*node.input, *node.output):
            shape = view.shape_of(name) if name else None
            if shape is not None and len(shape) > MOST_AXES:
                yield found(
                    "limit", "error", node,
                    f"its tensor {name!r} has {len(shape)} axes; TensorRT's have at most "
                    f"{MOST_AXES}",
                    "merge axes with Reshape before this node",
                )  # fmt: skip
                break


@remarks(
    Remark(
        "resize",
        "error, warning, info",
        "nearest, linear and cubic, no antialiasing, on 8.6 no axes; a size computed in the graph "
        "is a warning, cubic an info: the parser takes it, and no document lists it",
    ),
)
def resize(view: GraphView, line: Line) -> Iterator[Finding]:
    """Resize modes that are not read, and sizes that are not constants."""
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
        rounding = values.get("nearest_mode", "round_prefer_floor")
        if values.get("coordinate_transformation_mode") == "tf_half_pixel_for_nn":
            # Whatever the mode: onnxOpCheckers.cpp looks at the attribute alone.
            checks.append(("nearest_mode", rounding, {"round_prefer_floor"}))
        elif mode == "nearest":
            checks.append(("nearest_mode", rounding, RESIZE_NEAREST))
        for name, value, allowed in checks:
            if value not in allowed:
                yield found(
                    "resize", "error", node,
                    f"{name}={value} is not read; TensorRT has {', '.join(sorted(allowed))}",
                    "use mode=linear with half_pixel, torch's align_corners=False",
                )  # fmt: skip
        axes = "axes" in values and line.name == OLDEST
        if values.get("antialias", 0) or axes:
            yield found(
                "resize", "error", node, f"{'axes are' if axes else 'antialias is'} not read",
                "resize height and width of N,C,H,W without antialiasing, every size given",
            )  # fmt: skip
        if mode == "cubic":
            yield found(
                "resize", "info", node,
                "mode=cubic is read; no document lists it, and its values were not compared",
                "run edgeseg verify on the board, or use mode=linear",
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
        "edgeseg's engines have one size, and with it CUDA graphs: no open input, and no operator "
        "whose result is as long as what it finds",
    ),
)
def shapes(view: GraphView, line: Line) -> Iterator[Finding]:
    """Inputs whose size is open: edgeseg's engines have one size."""
    for name in view.inputs:
        if view.shape_of(name) is None:
            yield found(
                "dynamic-shape", "error", None,
                f"input {name!r} has an open size; an engine would need an optimization profile "
                "and could not be captured in a CUDA graph",
                "export with the size the camera gives",
            )  # fmt: skip
    for node in view.nodes:
        if node.op_type in DATA_DEPENDENT and view.data_inputs(node):
            yield found(
                "dynamic-shape", "error", node,
                f"{node.op_type} makes a tensor as long as what it finds; buffers and CUDA graphs "
                "have one size",
                "leave it to the host, behind the labels",
            )  # fmt: skip


@remarks(
    Remark(
        "computed-weight",
        "warning",
        "NvInfer.h wants a convolution's weight constant or folded to one; the parser takes a "
        "computed one, and whether the builder has a kernel is not known",
    ),
)
def computed_weights(view: GraphView, line: Line) -> Iterator[Finding]:
    """Convolutions whose weight depends on the frame; what comes from constants is folded."""
    for node in view.nodes:
        if node.op_type in ("Conv", "ConvTranspose") and view.is_computed(node.input[1]):
            yield found(
                "computed-weight", "warning", node, "its weight is computed from the frame",
                "give a constant weight, or try the build on the board first",
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
    if node.op_type in POOLS and shape is not None:
        # The parser lends MaxPool and AveragePool a second dimension where there is one.
        axes = (4, 5) if node.op_type == "LpPool" else (3, 4, 5)
        if len(shape) not in axes:
            return f"it pools a tensor of {len(shape)} axes; TensorRT reads {axes[0]} to 5"
    if node.op_type == "GridSample":
        if shape is not None and len(shape) != 4:
            return f"it samples a tensor of {len(shape)} axes; TensorRT samples N,C,H,W"
        mode = values.get("mode", "bilinear")
        if mode not in GRID_MODES:
            return (
                f"mode={mode} is opset 20's name; the parser samples the nearest pixel and says "
                f"nothing. It knows {', '.join(sorted(GRID_MODES))}"
            )
    if node.op_type == "Pad" and any(pad < 0 for pad in _pads(view, node)):
        return "it has a padding below 0, a crop; TensorRT's Pad only adds. Crop with Slice"
    if node.op_type == "BatchNormalization" and values.get("training_mode", 0):
        return "training_mode=1 is not read; export the network in eval mode"
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


def _pads(view: GraphView, node: onnx.NodeProto) -> list[int]:
    given = view.constant(node.input[1]) if len(node.input) > 1 else None
    if given is not None:
        return [int(pad) for pad in given.flatten()]
    return list(attributes(node).get("pads", ()))
