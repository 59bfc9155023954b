"""Carry INT8 weights as float -> QuantizeLinear -> DequantizeLinear, for TensorRT below 10.

A lone DequantizeLinear behind an int8 initializer is a feature of TensorRT 10. Through 9.3
NVIDIA's own text says that INT8 weights are not supported for explicit quantization ("invalid
weights type of Int8"). Source: NVIDIA/TensorRT, the README of tools/experimental/
trt-engine-explorer/examples/pytorch/resnet in tags v8.6.1 to v9.3.0; gone in v10.0.1.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import numpy_helper

from edgeseg.core.graph.view import attributes, node_name
from edgeseg.errors import ExportError


def with_float_weights(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy whose int8 weights are floats with a Q/DQ pair; their levels are the same.

    Raises:
        ExportError: the pair would not give back a weight's levels, as with a scale so small that
            level times scale is 0.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type == "Constant" and value is not None:
            constants[node.output[0]] = numpy_helper.to_array(value)
    nodes = []
    for node in graph.node:
        levels = constants.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if levels is not None and levels.dtype == np.int8:
            # Behind the node's own result, so that weights which share levels stay apart.
            weight, quantized = f"{node.output[0]}.float", f"{node.output[0]}.levels"
            values = _values(node, levels, constants)
            graph.initializer.append(numpy_helper.from_array(values, weight))
            inputs = [weight, *node.input[1:]]
            pair = onnx.helper.make_node(
                "QuantizeLinear", inputs, [quantized], name=f"{node_name(node)}.quantize"
            )
            pair.attribute.extend(node.attribute)
            nodes.append(pair)
            node.input[0] = quantized
        nodes.append(node)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
    read = {name for node in copies for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    copied = [onnx.TensorProto.FromString(tensor.SerializeToString()) for tensor in kept]
    del graph.initializer[:]
    graph.initializer.extend(copied)
    return made


def _values(
    node: onnx.NodeProto, levels: np.ndarray, constants: dict[str, np.ndarray]
) -> np.ndarray:
    scale = constants.get(node.input[1])
    if scale is None:
        raise ExportError(f"the scale of {node_name(node)} is computed; export the network again")
    if scale.size > 1:
        shape = [1] * levels.ndim
        shape[attributes(node).get("axis", 1)] = scale.size
        scale = scale.reshape(shape)
    values = levels.astype(scale.dtype) * scale
    with np.errstate(all="ignore"):
        again = np.clip(np.rint(values / scale), -128, 127)
        inverse = np.clip(np.rint(values * (1 / scale)), -128, 127)
    # A builder may divide by the scale or multiply by its inverse.
    if not (np.array_equal(again, levels) and np.array_equal(inverse, levels)):
        raise ExportError(
            f"the weight of {node_name(node)} does not come back from its floats: its scale, "
            f"{float(scale.min()):.3g} at least, is too small; calibrate the network again"
        )
    return values
