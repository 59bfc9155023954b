"""Rewrite the int8 activations of a Q/DQ graph to uint8, for ONNX Runtime's CPU kernels.

The file quantizes activations as TensorRT wants them: int8, zero-point 0. ONNX Runtime fuses such
a graph badly and runs it slower than FP32; with uint8 activations it forms QLinearConv for nearly
every convolution. Scales stay as they are:

    a value that cannot be negative   uint8, zero-point 0: same steps; what int8 clipped above
                                      127 steps now reaches 255
    any other value                   uint8, zero-point 128: exactly the same values

Weights stay int8.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator

import numpy as np
import onnx
from onnx import helper, numpy_helper

RESIDUAL_SCALES = "edgeseg.residual_scales"
ZERO = "edgeseg_uint8_zero_point_0"
MIDDLE = "edgeseg_uint8_zero_point_128"

NEVER_NEGATIVE = frozenset({"Relu", "Sigmoid", "Abs", "Exp", "Sqrt", "Softmax", "HardSigmoid"})
# These give a non-negative result when every data input is non-negative; the number is how many
# leading inputs are data (the rest are shapes, scales and the like), None for all.
KEEP_SIGN: dict[str, int | None] = {
    "MaxPool": 1, "AveragePool": 1, "GlobalAveragePool": 1, "GlobalMaxPool": 1, "ReduceMean": 1,
    "ReduceMax": 1, "Reshape": 1, "Transpose": 1, "Flatten": 1, "Identity": 1, "Slice": 1,
    "Squeeze": 1, "Unsqueeze": 1, "Expand": 1, "Dropout": 1, "QuantizeLinear": 1,
    "DequantizeLinear": 1, "Cast": 1, "Concat": None, "Add": None, "Mul": None, "Max": None,
}  # fmt: skip


def rewrite_activations(model: onnx.ModelProto) -> int:
    """Rewrite `model` in place and return how many quantizers became uint8.

    Scales of convolution results that feed a residual add are taken from the model's metadata
    (RESIDUAL_SCALES, tensor name to scale): TensorRT wants no quantizer there, ONNX Runtime needs
    one to keep the convolution and the add in integers. Quantized tensors that feed anything but
    a DequantizeLinear are left alone.
    """
    graph = model.graph
    _quantize_residuals(model)
    constants = dict(_constants(graph))
    consumers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            consumers[name].append(node)
    non_negative = _non_negative(graph, constants)
    rewritten = set()
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] in constants or len(node.input) < 3:
            continue
        zero_point = constants.get(node.input[2])
        if zero_point is None or zero_point.dtype != np.int8 or zero_point.any():
            continue
        readers = consumers[node.output[0]]
        if not readers or any(reader.op_type != "DequantizeLinear" for reader in readers):
            continue
        zero_name = ZERO if node.input[0] in non_negative else MIDDLE
        for each in (node, *readers):
            del each.input[2:]
            each.input.append(zero_name)
        rewritten.add(node.output[0])
    if rewritten:
        graph.initializer.extend(
            numpy_helper.from_array(np.array(value, np.uint8), name)
            for name, value in ((ZERO, 0), (MIDDLE, 128))
        )
        stale = [value for value in graph.value_info if value.name in rewritten]
        for value in stale:
            graph.value_info.remove(value)
    return len(rewritten)


def _quantize_residuals(model: onnx.ModelProto) -> None:
    graph = model.graph
    properties = {entry.key: entry.value for entry in model.metadata_props}
    scales = json.loads(properties.get(RESIDUAL_SCALES, "{}"))
    if not scales:
        return
    zero = "edgeseg_residual_zero_point"
    graph.initializer.append(numpy_helper.from_array(np.array(0, np.int8), zero))
    nodes = []
    for node in graph.node:
        nodes.append(node)
        for name in node.output:
            if name not in scales:
                continue
            graph.initializer.append(
                numpy_helper.from_array(np.array(scales[name], np.float32), f"{name}_scale")
            )
            for reader in graph.node:
                for place, read in enumerate(reader.input):
                    if read == name:
                        reader.input[place] = f"{name}_dequantized"
            parameters = [f"{name}_scale", zero]
            nodes += [
                helper.make_node("QuantizeLinear", [name, *parameters], [f"{name}_quantized"]),
                helper.make_node(
                    "DequantizeLinear", [f"{name}_quantized", *parameters], [f"{name}_dequantized"]
                ),
            ]
    del graph.node[:]
    graph.node.extend(nodes)


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, np.ndarray]]:
    for tensor in graph.initializer:
        yield tensor.name, numpy_helper.to_array(tensor)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    yield node.output[0], numpy_helper.to_array(attribute.t)


def _non_negative(graph: onnx.GraphProto, constants: dict[str, np.ndarray]) -> set[str]:
    """Return the names of tensors that cannot be negative; ONNX keeps nodes in running order."""
    known = {
        value.name
        for value in graph.input
        if value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    }

    def holds(name: str) -> bool:
        if name in constants:
            value = constants[name]
            return bool(np.issubdtype(value.dtype, np.number) and (value >= 0).all())
        return name in known

    for node in graph.node:
        if node.op_type in NEVER_NEGATIVE:
            known.update(node.output)
        elif node.op_type == "Resize":
            mode = next((a.s for a in node.attribute if a.name == "mode"), b"nearest")
            if mode != b"cubic" and holds(node.input[0]):
                known.update(node.output)
        elif node.op_type == "Where":
            if all(holds(name) for name in node.input[1:]):
                known.update(node.output)
        elif node.op_type == "Clip":
            if len(node.input) > 1 and node.input[1] in constants and holds(node.input[1]):
                known.update(node.output)
        elif node.op_type in KEEP_SIGN and all(
            holds(name) for name in node.input[: KEEP_SIGN[node.op_type]]
        ):
            known.update(node.output)
    return known
