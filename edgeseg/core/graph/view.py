"""An ONNX graph with its links: which nodes make and read a tensor, its type, shape and value."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper, shape_inference

from edgeseg.errors import ExportError

# The element types this project's graphs have, by the names TensorRT's tables use.
NAMES: dict[int, str] = {
    TensorProto.FLOAT: "FP32",
    TensorProto.FLOAT16: "FP16",
    TensorProto.BFLOAT16: "BF16",
    TensorProto.DOUBLE: "FP64",
    TensorProto.INT8: "INT8",
    TensorProto.INT32: "INT32",
    TensorProto.INT64: "INT64",
    TensorProto.UINT8: "UINT8",
    TensorProto.BOOL: "BOOL",
}
BYTES = {"FP32": 4, "FP16": 2, "BF16": 2, "FP64": 8, "INT8": 1, "INT32": 4, "INT64": 8, "UINT8": 1}
FLOATS = frozenset({"FP32", "FP16", "BF16", "FP64"})


class GraphView:
    """One model, indexed; build another after changing the model.

    Attributes:
        model: the model, with inferred shapes.
        nodes: its nodes in execution order.
        constants: initializers and Constant nodes, by tensor name.
        producers: the node that makes a tensor.
        readers: the nodes that read a tensor.
        inputs: names of the graph's inputs.
        outputs: names of its outputs.
    """

    def __init__(self, model: onnx.ModelProto) -> None:
        """Index `model`, which is not changed.

        Raises:
            ExportError: shapes and types cannot be inferred, or a constant has not the bytes or
                the type that it declares.
        """
        try:
            self.model = shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
        except Exception as error:
            # onnx raises errors of its C++ core, whose classes differ between releases.
            raise ExportError(
                f"the graph's types do not fit each other: {str(error).strip().splitlines()[-1]}"
            ) from error
        graph = self.model.graph
        self.nodes = list(graph.node)
        self.constants = {t.name: _array(t, t.name) for t in graph.initializer}
        self.producers: dict[str, onnx.NodeProto] = {}
        self.readers: dict[str, list[onnx.NodeProto]] = defaultdict(list)
        for node in self.nodes:
            if node.op_type == "Constant":
                value = next((a.t for a in node.attribute if a.name == "value"), None)
                if value is not None:
                    self.constants[node.output[0]] = _array(value, node.output[0])
            for name in node.output:
                self.producers[name] = node
            for name in node.input:
                self.readers[name].append(node)
        self.inputs = [v.name for v in graph.input if v.name not in self.constants]
        self.outputs = [v.name for v in graph.output]
        self._values: dict[str, tuple[str, tuple[int, ...] | None]] = {
            tensor.name: (_type_name(tensor.data_type), tuple(tensor.dims))
            for tensor in graph.initializer
        }
        for value in (*graph.input, *graph.output, *graph.value_info):
            self._values[value.name] = _type_and_shape(value)

    @property
    def opset(self) -> int:
        """The version of ONNX's own operators."""
        return next((o.version for o in self.model.opset_import if o.domain in ("", "ai.onnx")), 0)

    def type_of(self, name: str) -> str:
        """Return a tensor's type, such as "FP32"; "?" where it is not known."""
        return self._values.get(name, ("?", None))[0]

    def shape_of(self, name: str) -> tuple[int, ...] | None:
        """Return a tensor's shape, None where a size is not fixed."""
        return self._values.get(name, ("?", None))[1]

    def bytes_of(self, name: str, type_name: str | None = None) -> int:
        """Return the size of a tensor, held in its own type or in `type_name`."""
        shape = self.shape_of(name)
        return (
            0 if shape is None else math.prod(shape) * BYTES.get(type_name or self.type_of(name), 1)
        )

    def data_inputs(self, node: onnx.NodeProto) -> list[str]:
        """Return a node's inputs that are computed, not constant."""
        return [name for name in node.input if name and name not in self.constants]

    def constant(self, name: str) -> np.ndarray | None:
        """Return a constant's value, also behind Identity; None where it is not known."""
        node = self.producers.get(name)
        while name not in self.constants and node is not None and node.op_type == "Identity":
            name = node.input[0]
            node = self.producers.get(name)
        return self.constants.get(name)

    def is_computed(self, name: str) -> bool:
        """Tell whether a tensor depends on an input of the graph; others can be folded."""
        pending, seen = [name], set()
        while pending:
            current = pending.pop()
            if current in seen or not current:
                continue
            seen.add(current)
            if current in self.inputs:
                return True
            node = self.producers.get(current)
            pending.extend(() if node is None else node.input)
        return False

    def source(self, name: str, through: frozenset[str] = frozenset()) -> onnx.NodeProto | None:
        """Return the node that makes `name`, looking back through operators of `through`."""
        node = self.producers.get(name)
        while node is not None and node.op_type in through:
            node = self.producers.get(node.input[0])
        return node

    def dequantized(self, name: str) -> onnx.NodeProto | None:
        """Return the DequantizeLinear a tensor comes from, also through a max pooling."""
        node = self.source(name, frozenset({"MaxPool"}))
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def walk_from_inputs(self) -> Iterator[tuple[onnx.NodeProto, bool]]:
        """Yield every node with whether it stands before the network.

        Before the network are the nodes that have no convolution, matrix product or quantizer
        among their ancestors: the frame's normalization, which keeps FP32.
        """
        inside: set[str] = set()
        before: set[str] = set(self.inputs)
        for node in self.nodes:
            read = self.data_inputs(node)
            body = node.op_type in BODY or any(name in inside for name in read)
            if body:
                inside.update(node.output)
            elif any(name in before for name in read):
                before.update(node.output)
            yield node, not body and any(name in before for name in read)


BODY = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "QuantizeLinear"})


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Return a node's attributes as Python values, text decoded."""
    values = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return {k: v.decode() if isinstance(v, bytes) else v for k, v in values.items()}


def node_name(node: onnx.NodeProto) -> str:
    """Return a node's name, or its operator and first result where it has none."""
    return node.name or f"{node.op_type} -> {node.output[0]}"


def _array(tensor: onnx.TensorProto, name: str) -> np.ndarray:
    try:
        return numpy_helper.to_array(tensor)
    except Exception as error:
        # onnx and numpy raise KeyError, TypeError or ValueError, as the damage has it.
        raise ExportError(
            f"the constant {name!r} cannot be read ({' '.join(str(error).split())[:120]}); give a "
            "whole file"
        ) from error


def _type_name(element: int) -> str:
    known = NAMES.get(element)
    if known is None and element not in TensorProto.DataType.values():
        raise ExportError(f"a tensor has the element type {element}, which ONNX does not define")
    return known or str(TensorProto.DataType.Name(element))


def _type_and_shape(value: onnx.ValueInfoProto) -> tuple[str, tuple[int, ...] | None]:
    tensor = value.type.tensor_type
    fixed = tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim)
    shape = tuple(d.dim_value for d in tensor.shape.dim) if fixed else None
    return _type_name(tensor.elem_type), shape
