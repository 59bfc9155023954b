"""Take the Q/DQ pairs off some convolutions of an INT8 graph, which then compute in float.

Explicit Q/DQ never falls back: where TensorRT has no INT8 kernel for a convolution, the build ends
with "Could not find any implementation for node". Without its pairs the convolution has one.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
import onnx
from onnx import numpy_helper

from edgeseg.core.graph.view import GraphView, attributes

CONVOLUTIONS = ("Conv", "ConvTranspose")


def parser_name(node: onnx.NodeProto) -> str:
    """Return the name that TensorRT's parser gives a node."""
    return node.name or f"node_of_{node.output[0]}"


def quantized_convolutions(view: GraphView) -> list[onnx.NodeProto]:
    """Return the convolutions whose weight is dequantized, in execution order."""
    found = []
    for node in view.nodes:
        source = view.source(node.input[1]) if node.op_type in CONVOLUTIONS else None
        if source is not None and source.op_type == "DequantizeLinear":
            found.append(node)
    return found


def convolutions_in(view: GraphView, text: str) -> list[str]:
    """Return the quantized convolutions that a builder's message names, by parser_name.

    A layer's name lists the nodes that were fused into it ("a/Conv + a/Relu"), or the first and
    the last of a region ("{ForeignNode[a/Conv...b/Cast]}"), which names all in between.
    """
    order = {parser_name(node): place for place, node in enumerate(view.nodes)}
    order |= {node.output[0]: order[parser_name(node)] for node in view.nodes}
    named = {order[word] for word in re.split(r"[\s+|,;:(){}\[\]]+|\.{3}", text) if word in order}
    # A sentence ends in a dot, which a name may hold too.
    named |= {
        order[w] for w in re.findall(r"[^\s+|,;:(){}\[\]]+(?=\.(?:\s|$|\)))", text) if w in order
    }
    for first, last in re.findall(r"\[([^\[\]]+?)\.{3}([^\[\]]+?)\]", text):
        starts = [order[word] for word in first.split(" + ") if word in order]
        ends = [order[word] for word in last.split(" + ") if word in order]
        if starts and ends:
            named.update(range(min(starts), max(ends) + 1))
    return [
        parser_name(node)
        for node in quantized_convolutions(view)
        if order[parser_name(node)] in named
    ]


def with_float_convolutions(model: onnx.ModelProto, names: Collection[str]) -> onnx.ModelProto:
    """Return a copy in which the named convolutions have a float weight and read no pair.

    An input pair that other nodes read stays for them. Where a pair also changes the float type,
    as the first one of a form with FP16 islands, it stays and rounds, and only the weight is float.
    """
    view = GraphView(model)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    by_output = {node.output[0]: node for node in made.graph.node}
    for node in quantized_convolutions(view):
        if parser_name(node) not in names:
            continue
        target = by_output[node.output[0]]
        target.input[1] = _float_weight(view, made, node)
        pair = view.producers.get(node.input[0])
        if pair is not None and pair.op_type == "DequantizeLinear":
            before = view.producers.get(pair.input[0])
            if before is not None and before.op_type == "QuantizeLinear":
                source = before.input[0]
                if view.type_of(source) == view.type_of(node.input[0]):
                    target.input[0] = source
    _drop_unread(made)
    return made


def _float_weight(view: GraphView, made: onnx.ModelProto, node: onnx.NodeProto) -> str:
    dequantize = view.producers[node.input[1]]
    quantize = view.producers.get(dequantize.input[0])
    if quantize is not None:
        # Already float -> Q -> DQ.
        return str(quantize.input[0])
    name = f"{dequantize.output[0]}.float"
    levels, scale = view.constants[dequantize.input[0]], view.constants[dequantize.input[1]]
    if scale.size > 1:
        shape = [1] * levels.ndim
        shape[attributes(dequantize).get("axis", 1)] = scale.size
        scale = scale.reshape(shape)
    if all(tensor.name != name for tensor in made.graph.initializer):
        values = (levels.astype(np.float32) * scale.astype(np.float32)).astype(scale.dtype)
        made.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _drop_unread(model: onnx.ModelProto) -> None:
    graph = model.graph
    while True:
        read = {name for node in graph.node for name in node.input} | {v.name for v in graph.output}
        idle = [node for node in graph.node if not read & set(node.output)]
        if not idle:
            break
        for node in idle:
            graph.node.remove(node)
    for tensor in [t for t in graph.initializer if t.name not in read]:
        graph.initializer.remove(tensor)
