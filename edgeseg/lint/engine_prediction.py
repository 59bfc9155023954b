"""The layers that a TensorRT engine of a graph will probably have, and the bytes each moves.

A model of the builder's documented fusions, not of its choices: which kernel runs, and in which
tensor layout, only the engine on the board tells (`edgeseg build --explain`).

    convolution   + residual add + activation + quantizer, one layer; INT8 if its data and its
                  weight are both dequantized
    pointwise     neighbouring arithmetic, comparison, selection, casts and quantizers of one shape
    max pooling   commutes with Q/DQ: INT8 in, INT8 out
    concatenation of one scale: its producers write in place
    constants     folded
    reshapes      free

Reformats between tensor layouts are not predicted.

Source: TensorRT documentation, "Optimizing Performance: Layer Fusion" and "Explicit Quantization:
Q/DQ Interaction with Other Layers".
"""

from __future__ import annotations

import dataclasses
import math

import onnx

from edgeseg.core.graph.view import FLOATS, GraphView, attributes, node_name

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})
ACTIVATIONS = frozenset({"Relu", "Clip", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Elu"})
POINTWISE = ACTIVATIONS | {
    "Abs", "Add", "And", "Cast", "Ceil", "Div", "Equal", "Erf", "Exp", "Floor", "Greater",
    "GreaterOrEqual", "Less", "LessOrEqual", "Log", "Max", "Min", "Mul", "Neg", "Not", "Or", "Pow",
    "PRelu", "QuantizeLinear", "Reciprocal", "Round", "Softplus", "Sqrt", "Sub", "Tanh", "Where",
}  # fmt: skip
FREE = frozenset({"Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Dropout"})
AVERAGES = frozenset({"GlobalAveragePool", "AveragePool"})
# Kinds of layer whose result a quantizer can join.
QUANTIZING = frozenset({"convolution", "pointwise", "average pool"})


@dataclasses.dataclass(frozen=True)
class Layer:
    """One predicted layer.

    Attributes:
        name: the node it is built around.
        kind: "convolution", "pointwise", "max pool", "concatenation" and so on.
        nodes: names of the ONNX nodes in it.
        precision: what it computes in: "INT8", "FP16" or "FP32".
        read_bytes: bytes of the tensors it reads.
        written_bytes: bytes of the tensors it writes.
        weight_bytes: bytes of its constants.
        macs: multiply-accumulates of one frame; convolutions and matrix products only.
        before_network: it belongs to the frame's normalization.
        sparse: its weight keeps the 2:4 pattern, two zeros in each four along the input channels.
        unknown: tensors it reads or writes whose size is not known; the bytes are without them.
    """

    name: str
    kind: str
    nodes: tuple[str, ...]
    precision: str
    read_bytes: int
    written_bytes: int
    weight_bytes: int
    macs: int
    before_network: bool
    sparse: bool = False
    unknown: tuple[str, ...] = ()

    @property
    def moved_bytes(self) -> int:
        """All bytes that pass between the layer and memory."""
        return self.read_bytes + self.written_bytes + self.weight_bytes

    def to_json(self) -> dict[str, object]:
        """Return the layer for `lint --json`."""
        return {**dataclasses.asdict(self), "moved_bytes": self.moved_bytes}


@dataclasses.dataclass
class _Group:
    index: int
    kind: str
    nodes: list[onnx.NodeProto]
    early: bool


def plan_engine(view: GraphView, *, strongly_typed: bool = False, fp16: bool = True) -> list[Layer]:
    """Predict the layers of an engine, in execution order.

    Args:
        view: the graph.
        strongly_typed: float types are the graph's; `fp16` is not looked at.
        fp16: FP32 tensors of the graph are held in FP16, as the builder's flag allows.
    """
    return _Planner(view, half=fp16 and not strongly_typed).layers()


class _Planner:
    def __init__(self, view: GraphView, *, half: bool) -> None:
        self.view = view
        self.half = half
        self.groups: list[_Group] = []
        self.group_of: dict[str, _Group] = {}  # tensor -> the group that makes it
        self.alias: dict[str, str] = {}  # tensor -> the tensor whose memory it is
        self.int8: set[str] = set()  # tensors that memory holds as INT8
        self.folded: set[str] = set(view.constants)

    def layers(self) -> list[Layer]:
        for node, early in self.view.walk_from_inputs():
            self._place(node, early=early)
        return [self._layer(group) for group in self.groups]

    def _place(self, node: onnx.NodeProto, *, early: bool) -> None:
        out = node.output[0]
        if all(name in self.folded for name in node.input if name):
            # A weight's DequantizeLinear is part of its convolution, other constants fold.
            self.folded.update(node.output)
            return
        data = node.input[0]
        if node.op_type in FREE or node.op_type == "DequantizeLinear":
            self._alias(out, data)
        elif node.op_type in CONVOLUTIONS:
            self._start("convolution", node, early=early)
        elif node.op_type == "Concat" and self._one_scale(node):
            self._start("concatenation", node, early=early)
            self.int8.add(out)
        elif node.op_type == "MaxPool":
            self._start("max pool", node, early=early)
            if self._memory(data) in self.int8:
                self.int8.add(out)
        elif node.op_type == "QuantizeLinear":
            self._quantize(node, early=early)
        elif node.op_type in POINTWISE:
            self._pointwise(node, early=early)
        else:
            kind = "average pool" if node.op_type in AVERAGES else node.op_type.lower()
            self._start(kind, node, early=early)

    def _start(self, kind: str, node: onnx.NodeProto, *, early: bool) -> None:
        group = _Group(len(self.groups), kind, [], early)
        self.groups.append(group)
        self._join(group, node)

    def _join(self, group: _Group, node: onnx.NodeProto) -> None:
        group.nodes.append(node)
        for name in node.output:
            self.group_of[name] = group

    def _alias(self, name: str, source: str) -> None:
        self.alias[name] = self._memory(source)

    def _memory(self, name: str) -> str:
        return self.alias.get(name, name)

    def _quantize(self, node: onnx.NodeProto, *, early: bool) -> None:
        data = self._memory(node.input[0])
        if data in self.int8:
            # The concatenation or pooling before it is already on this grid.
            self._alias(node.output[0], data)
            return
        self.int8.add(node.output[0])
        group = self.group_of.get(data)
        if group is not None and group.kind in QUANTIZING:
            self._join(group, node)
        else:
            self._start("pointwise", node, early=early)

    def _pointwise(self, node: onnx.NodeProto, *, early: bool) -> None:
        # Only the youngest of the groups it reads can take it in: that keeps the order acyclic.
        read = [self._memory(name) for name in node.input if name and name not in self.folded]
        made = [self.group_of[name] for name in read if name in self.group_of]
        group = max(made, key=lambda g: g.index, default=None)
        if group is not None and self._takes(group, node, read):
            self._join(group, node)
        else:
            self._start("pointwise", node, early=early)

    def _takes(self, group: _Group, node: onnx.NodeProto, read: list[str]) -> bool:
        last = group.nodes[-1]
        if group.kind == "pointwise":
            return self.view.shape_of(last.output[0]) == self.view.shape_of(node.output[0])
        if group.kind != "convolution" or last.output[0] not in read:
            return False
        private = len(self.view.readers[last.output[0]]) == 1
        residual = node.op_type == "Add" and last.op_type in CONVOLUTIONS
        activation = node.op_type in ACTIVATIONS and last.op_type in CONVOLUTIONS | {"Add"}
        return private and (residual or activation)

    def _one_scale(self, node: onnx.NodeProto) -> bool:
        sources = [self.view.dequantized(name) for name in node.input]
        scales = {source.input[1] if source is not None else "" for source in sources}
        readers = self.view.readers[node.output[0]]
        scales |= {r.input[1] if r.op_type == "QuantizeLinear" else "" for r in readers}
        values = {
            float(self.view.constants[s].flatten()[0]) if s in self.view.constants else s
            for s in scales
        }
        return "" not in scales and len(values) == 1

    def _type(self, name: str) -> str:
        if name in self.int8:
            return "INT8"
        found = self.view.type_of(name)
        if self.half and found == "FP32":
            return "FP16"
        # TensorRT's indices, such as an arg max, are INT32.
        return "INT32" if found == "INT64" else found

    def _bytes(self, name: str) -> int:
        return self.view.bytes_of(name, self._type(name))

    def _layer(self, group: _Group) -> Layer:
        view = self.view
        own = {name for node in group.nodes for name in node.output}
        reads = {
            self._memory(name)
            for node in group.nodes
            for name in node.input
            if name and name not in self.folded
        } - own
        writes = {name for name in own if self._leaves(name, group)}
        first = group.nodes[0]
        in_place = group.kind == "concatenation" and first.output[0] in self.int8
        constants = {n for node in group.nodes for n in node.input if n in self.folded}
        weight = first.input[1] if group.kind == "convolution" else ""
        return Layer(
            name=node_name(first),
            kind=group.kind,
            nodes=tuple(node_name(node) for node in group.nodes),
            precision=self._precision(group, writes),
            read_bytes=0 if in_place else sum(map(self._bytes, reads)),
            written_bytes=0 if in_place else sum(map(self._bytes, writes)),
            weight_bytes=sum(self._constant_bytes(name) for name in constants),
            macs=_macs(view, first) if group.kind == "convolution" else 0,
            before_network=group.early,
            sparse=bool(weight) and is_two_to_four(view, first),
            unknown=tuple(sorted(n for n in reads | writes if view.shape_of(n) is None)),
        )

    def _leaves(self, name: str, group: _Group) -> bool:
        if name in self.view.outputs:
            return True
        inside = {id(node) for node in group.nodes}
        return any(id(reader) not in inside for reader in self.view.readers[name])

    def _constant_bytes(self, name: str) -> int:
        """Bytes of a constant as the engine holds it; a dequantized weight stays INT8."""
        source = self.view.producers.get(name)
        if source is not None and source.op_type == "DequantizeLinear":
            levels = source.input[0]
            # Written as float -> Q -> DQ, it is folded to INT8 as well.
            return self.view.bytes_of(levels, "INT8")
        if source is not None and source.op_type not in ("Constant", "DequantizeLinear"):
            return self.view.bytes_of(name, self._type(name))
        shape = self.view.shape_of(name)
        return 0 if shape is None or math.prod(shape) <= 1 else self._bytes(name)

    def _precision(self, group: _Group, writes: set[str]) -> str:
        first = group.nodes[0]
        memory = self._memory(first.input[0])
        if group.kind == "convolution":
            weight = self.view.producers.get(first.input[1])
            both = weight is not None and weight.op_type == "DequantizeLinear"
            if memory in self.int8 and both:
                return "INT8"
        elif (
            group.kind in ("max pool", "concatenation", "average pool")
            and memory in self.int8
            and all(name in self.int8 for name in writes)
        ):
            return "INT8"
        floats = [
            self._type(name)
            for node in group.nodes
            for name in (*node.input[:1], *node.output)
            if self.view.type_of(name) in FLOATS and name not in self.int8
        ]
        if "FP32" in floats:
            return "FP32"
        return floats[-1] if floats else self._type(first.output[0])


def is_two_to_four(view: GraphView, node: onnx.NodeProto) -> bool:
    """Tell whether a convolution's weight has two zeros in each four input channels.

    Source: TensorRT documentation, "Sparsity": for a KCRS weight, each four values along C at every
    r, s hold at least two zeros; C is a multiple of four. Grouped convolutions have no such kernel.
    """
    if node.op_type != "Conv" or attributes(node).get("group", 1) != 1:
        return False
    name = node.input[1]
    source = view.producers.get(name)
    if source is not None and source.op_type == "DequantizeLinear":
        name = source.input[0]
        upper = view.producers.get(name)
        if upper is not None and upper.op_type == "QuantizeLinear":
            name = upper.input[0]
    weight = view.constants.get(name)
    if weight is None or weight.ndim != 4 or weight.shape[1] % 4:
        return False
    k, c, r, s = weight.shape
    zeros = (weight == 0).reshape(k, c // 4, 4, r, s).sum(2)
    return bool((zeros >= 2).all())


def _macs(view: GraphView, node: onnx.NodeProto) -> int:
    weight, out = view.shape_of(node.input[1]), view.shape_of(node.output[0])
    data = view.shape_of(node.input[0])
    if weight is None or out is None or data is None:
        return 0
    if node.op_type == "Conv":
        return math.prod(out) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(data) * math.prod(weight[1:])
    return math.prod(out) * data[-1]
