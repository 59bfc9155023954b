"""Remove the quantizers of a Q/DQ graph, which gives the float baseline of the same weights."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeseg.errors import BackendError


def without_quantization(data: bytes) -> bytes:
    """Take every QuantizeLinear and DequantizeLinear out of an ONNX file.

    A quantized weight becomes the float it stands for, in its scale's type; an activation is
    passed on as it is, cast where the pair also changed its type. So a graph with FP16 islands
    gives an FP16 graph.

    Raises:
        BackendError: the file is not a graph, or has a QuantizeLinear without DequantizeLinear.
    """
    try:
        model = onnx.load_from_string(data)
    except Exception as error:
        raise BackendError(f"the graph cannot be read ({error}); export it again") from error
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    source: dict[str, str] = {}
    # A scale has the type of the float it belongs to.
    types: dict[str, int] = {}
    added: dict[str, onnx.TensorProto] = {}
    kept = []
    for node in graph.node:
        if node.op_type == "QuantizeLinear":
            source[node.output[0]] = source.get(node.input[0], node.input[0])
            types[node.output[0]] = constants[node.input[1]].data_type
        elif node.op_type == "DequantizeLinear":
            if node.input[0] in constants:
                added[node.output[0]] = _weight(node, constants)
            elif node.input[0] in source:
                wanted = constants[node.input[1]].data_type
                if wanted == types[node.input[0]]:
                    source[node.output[0]] = source[node.input[0]]
                else:
                    kept.append(_cast(source[node.input[0]], node.output[0], wanted))
            else:
                raise BackendError(
                    f"{node.name} dequantizes {node.input[0]}, which no QuantizeLinear gave; "
                    "export the bundle again"
                )
        else:
            kept.append(node)
    for node in kept:
        for place, name in enumerate(node.input):
            node.input[place] = source.get(name, name)
    read = {name for node in kept for name in node.input}
    initializers = [t for t in (*graph.initializer, *added.values()) if t.name in read]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(kept)
    graph.initializer.extend(initializers)
    return bytes(model.SerializeToString())


def _cast(source: str, target: str, kind: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [source], [target], name=f"{target}/cast", to=kind)


def _weight(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> onnx.TensorProto:
    levels = numpy_helper.to_array(constants[node.input[0]])
    scale = numpy_helper.to_array(constants[node.input[1]])
    if scale.ndim == 1:
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        scale = scale.reshape([-1 if d == axis else 1 for d in range(levels.ndim)])
    # The product in float32: FP16 would round twice.
    values = levels.astype(np.float32) * scale.astype(np.float32)
    return numpy_helper.from_array(values.astype(scale.dtype), node.output[0])
