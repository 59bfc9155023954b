"""Write the shipped network with sums that any processor gets right: python summed_bundle.py OUT.

The same levels, scales and order as in the shipped bundle's graph. What differs between processors
is the order in which float32 sums are formed, so here every sum is one of whole numbers below 2^24
(half a million at most, on the golden frame): a convolution runs on the levels themselves, and its
scale and bias come after it. Where the graph computes in floats, they are put on a grid first: the
head's weights, its logits, and both sides of the interpolation to a size that is no power of two
times its own. Rounding to whole numbers behind each convolution also keeps the runtime from folding
scales into weights again.

Its labels are near the shipped bundle's, not the same; but two machines must agree to the bit.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from edgeseg.core.bundle import Bundle, Golden, write_bundle
from edgeseg.core.graph.view import GraphView, attributes
from edgeseg.core.zoo import default_bundle
from edgeseg.runtime.backends import open_backend

HEAD_LEVELS = 1 << 8
# Logits stay below 2^7, so that with the interpolation's 64ths they are whole numbers below 2^23.
LOGIT_STEP = 2.0**-10
# The interpolated values' steps within one INT8 step, and the weights' steps in all.
FINE, WEIGHT_STEPS = 8, 64


class Summed:
    """Rewrites the nodes of one graph, in order."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.view = GraphView(model)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def add(self, op: str, inputs: list[str], output: str = "", **more: object) -> str:
        output = output or f"summed.{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **more))
        return output

    def constant(self, value: np.ndarray | float) -> str:
        name = f"summed.constant.{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def levels(self, name: str) -> tuple[str, float]:
        """Return a dequantized activation's levels as floats, and their scale."""
        source = self.view.dequantized(name)
        assert source is not None
        assert source.output[0] == name
        whole = self.add("Cast", [source.input[0]], to=onnx.TensorProto.FLOAT)
        return whole, float(self.view.constants[source.input[1]])

    def conv(self, node: onnx.NodeProto) -> None:
        view = self.view
        x, step = self.levels(node.input[0])
        source = view.source(node.input[1])
        if source is not None:
            weight, steps = (view.constants[name] for name in source.input[:2])
        else:
            # The float head: its weights on a grid of their own.
            weight = view.constants[node.input[1]]
            steps = np.full(len(weight), np.abs(weight).max() / HEAD_LEVELS)
            weight = np.round(weight / steps[0])
        total = self.add(
            "Conv", [x, self.constant(weight)],
            **{k: v for k, v in attributes(node).items() if k != "auto_pad"},
        )  # fmt: skip
        total = self.add("Round", [total])
        scaled = self.add("Mul", [total, self.constant((steps * step).reshape(1, -1, 1, 1))])
        bias = self.constant(view.constants[node.input[2]].reshape(1, -1, 1, 1))
        if source is not None:
            self.add("Add", [scaled, bias], node.output[0])
            return
        logits = self.add("Add", [scaled, bias])
        whole = self.add("Round", [self.add("Mul", [logits, self.constant(1 / LOGIT_STEP)])])
        self.add("Mul", [whole, self.constant(LOGIT_STEP)], node.output[0])

    def pool(self, node: onnx.NodeProto) -> None:
        x, step = self.levels(node.input[0])
        shape = self.view.shape_of(node.input[0])
        assert shape is not None
        axes = numpy_helper.from_array(np.array([2, 3]), f"summed.axes.{len(self.constants)}")
        self.constants.append(axes)
        total = self.add("ReduceSum", [x, axes.name], keepdims=1)
        self.add("Mul", [total, self.constant(step / (shape[2] * shape[3]))], node.output[0])

    def resize(self, node: onnx.NodeProto) -> None:
        """A linear resize as two products with matrices of whole numbers."""
        given, wanted = (self.view.shape_of(n) for n in (node.input[0], node.output[0]))
        assert given is not None
        assert wanted is not None
        (reader,) = self.view.readers[node.output[0]]
        if reader.op_type != "QuantizeLinear":
            # The logits: four times their size, where the weights are dyadic.
            self.nodes.append(node)
            return
        step = float(self.view.constants[reader.input[1]]) / FINE
        x = self.add("Round", [self.add("Mul", [node.input[0], self.constant(1 / step)])])
        rows, columns = (
            np.round(_interpolation(a, b) * WEIGHT_STEPS)
            for a, b in zip(given[2:], wanted[2:], strict=True)
        )
        x = self.add("MatMul", [self.constant(rows), x])
        x = self.add("MatMul", [x, self.constant(columns.T)])
        self.add("Mul", [x, self.constant(step / WEIGHT_STEPS**2)], node.output[0])

    def model(self) -> onnx.ModelProto:
        special = {"Conv": self.conv, "GlobalAveragePool": self.pool}
        for node in self.view.nodes:
            linear = node.op_type == "Resize" and attributes(node).get("mode") == "linear"
            rewrite = self.resize if linear else special.get(node.op_type, self.nodes.append)
            rewrite(node)
        model = onnx.ModelProto()
        model.CopyFrom(self.view.model)
        read = {name for node in self.nodes for name in node.input}
        kept = [t for t in model.graph.initializer if t.name in read]
        del model.graph.node[:], model.graph.value_info[:], model.graph.initializer[:]
        model.graph.node.extend(self.nodes)
        model.graph.initializer.extend([*kept, *self.constants])
        return model


def _interpolation(given: int, wanted: int) -> np.ndarray:
    """Half-pixel linear interpolation as a matrix, wanted x given."""
    at = np.clip((np.arange(wanted) + 0.5) * given / wanted - 0.5, 0, given - 1)
    low = np.minimum(at.astype(int), given - 2) if given > 1 else np.zeros(wanted, int)
    matrix = np.zeros((wanted, given))
    matrix[np.arange(wanted), low] = 1 - (at - low)
    if given > 1:
        matrix[np.arange(wanted), low + 1] += at - low
    return matrix


def summed_bundle(out: Path) -> Bundle:
    """Write the bundle; its golden labels are this machine's."""
    shipped = default_bundle()
    data = Summed(onnx.load(shipped.onnx_path)).model().SerializeToString()
    frame = shipped.golden().frame
    common = {"name": "summed", "spec": shipped.spec, "precision": "fp32", "opset": shipped.opset}
    bundle = write_bundle(out, data, Golden(frame, np.zeros_like(frame[..., 0])), **common)
    with open_backend("onnxruntime", bundle, threads=1, optimize=False) as backend:
        labels = backend.infer(frame).copy()
    return write_bundle(out, data, Golden(frame, labels), **common)


if __name__ == "__main__":
    summed_bundle(Path(sys.argv[1]))
