"""Edits of a graph that may make its engine faster; `edgeseg build` lets the board choose.

Each gives the same labels or labels next to them, and is kept only where the golden frame agrees.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.graph.float_convolutions import (
    parser_name,
    quantized_convolutions,
    with_float_convolutions,
)
from edgeseg.core.graph.view import GraphView, attributes
from edgeseg.core.registry import Registry
from edgeseg.errors import ExportError

EDITS = Registry(
    "engine edit",
    "engine_edits",
    {
        "float-depthwise": "edgeseg.core.graph.engine_edits:with_float_depthwise",
        "label-codes": "edgeseg.core.graph.engine_edits:with_label_codes",
    },
)
LARGEST_CODE = 255


def with_float_depthwise(model: onnx.ModelProto, *, opset: int = 99) -> onnx.ModelProto:
    """Take Q/DQ off the depthwise convolutions, which memory bounds in INT8 too.

    Args:
        model: the graph.
        opset: newest whose definitions the parser reads; has no effect here.

    Source: NVIDIA/TensorRT #2197 and #4529, where INT8 depthwise layers gain nothing.

    Raises:
        ExportError: no quantized convolution is depthwise.
    """
    view = GraphView(model)
    names = [parser_name(node) for node in quantized_convolutions(view) if is_depthwise(view, node)]
    if not names:
        raise ExportError("no INT8 convolution is depthwise")
    return with_float_convolutions(model, names)


def is_depthwise(view: GraphView, node: onnx.NodeProto) -> bool:
    """Tell whether each output channel of a convolution reads one input channel."""
    weight = view.shape_of(node.input[1]) if node.op_type == "Conv" else None
    return weight is not None and len(weight) > 1 and weight[1] == 1 and _groups(node) > 1


def with_label_codes(model: onnx.ModelProto, *, opset: int = 99) -> onnx.ModelProto:
    """Write the label head's ArgMax as ReduceMax, Equal, Where, ReduceMax.

    TensorRT runs ArgMax as TopK with INT32 indices and casts; users report 3 to 1354 ms for it
    (onnx-tensorrt #669 and #671). Here the classes that reach the maximum get the codes K to 1, so
    that the largest code is the first of equal classes, as ArgMax takes it: label = K - code.

    Args:
        model: the graph.
        opset: newest whose definitions the parser reads.

    Raises:
        ExportError: the graph does not end in ArgMax over channels and casts to uint8, or is of
            opset 18 for an older parser, which would reduce over every axis and say nothing.
    """
    view = GraphView(model)
    if opset < 18 <= view.opset:
        raise ExportError(f"this parser reads opset {opset}, and ReduceMax has its axes as input")
    made = onnx.ModelProto()
    made.CopyFrom(model)
    (output,) = view.outputs if len(view.outputs) == 1 else ("",)
    tail = [view.producers.get(output)]
    while tail[-1] is not None and tail[-1].op_type == "Cast":
        tail.append(view.producers.get(tail[-1].input[0]))
    head = tail[-1]
    values = {} if head is None else attributes(head)
    if head is None or head.op_type != "ArgMax" or values.get("select_last_index", 0):
        raise ExportError("its labels do not come from ArgMax and casts")
    logits = head.input[0]
    shape, kind = view.shape_of(logits), view.type_of(logits)
    axis = values.get("axis", 0)
    if shape is None or len(shape) != 4 or axis not in (1, -3) or shape[1] > LARGEST_CODE:
        raise ExportError(f"its ArgMax is not over the channels of N,C,H,W, 255 at most: {shape}")
    if view.type_of(output) != "UINT8" or kind not in ("FP32", "FP16"):
        raise ExportError(f"it makes {view.type_of(output)} of {kind}, not uint8 of floats")
    if any(len(view.readers[n.output[0]]) > 1 for n in tail if n is not None):
        raise ExportError("something else reads its class indices")
    classes, keep = shape[1], int(values.get("keepdims", 1))
    number = np.float16 if kind == "FP16" else np.float32
    codes = np.arange(classes, 0, -1, dtype=number).reshape(1, classes, 1, 1)
    base = f"{output}.codes"
    constants = {
        f"{base}.each": codes,
        f"{base}.none": number(0),
        f"{base}.count": number(classes),
        f"{base}.channels": np.array([1], np.int64),
    }
    opset18 = view.opset >= 18
    axes = [f"{base}.channels"] if opset18 else []
    fixed: dict[str, Any] = {} if opset18 else {"axes": [1]}
    nodes = [
        helper.make_node("ReduceMax", [logits, *axes], [f"{base}.max"], keepdims=1, **fixed),
        helper.make_node("Equal", [logits, f"{base}.max"], [f"{base}.reached"]),
        helper.make_node(
            "Where", [f"{base}.reached", f"{base}.each", f"{base}.none"], [f"{base}.coded"]
        ),
        helper.make_node("ReduceMax", [f"{base}.coded", *axes], [f"{base}.best"], keepdims=keep,
                         **fixed),
        helper.make_node("Sub", [f"{base}.count", f"{base}.best"], [f"{base}.label"]),
        helper.make_node("Cast", [f"{base}.label"], [output], to=TensorProto.UINT8),
    ]  # fmt: skip
    for node in nodes:
        node.name = node.output[0]
    gone = {node.output[0] for node in tail if node is not None}
    kept = [node for node in made.graph.node if node.output[0] not in gone]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del made.graph.node[:]
    made.graph.node.extend([*kept, *nodes])
    made.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name)
        for name, value in constants.items()
        if opset18 or name != f"{base}.channels"
    )
    stale = [v for v in made.graph.value_info if v.name in gone]
    for value in stale:
        made.graph.value_info.remove(value)
    return made


def _groups(node: onnx.NodeProto) -> int:
    return int(attributes(node).get("group", 1))
