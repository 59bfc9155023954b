"""Plan of the Q/DQ pairs of a traced graph, by rules that keep TensorRT's fusions whole.

    convolution       both inputs; its output not wrapped for its own sake
    residual add      every operand but one; that one is a convolution's output, so that
                      convolution + add (+ ReLU) stays one INT8 kernel
    concatenation     inputs and result share one scale
    bilinear resize   none before, one after
    max pooling       before it, so that values and indices come from quantized numbers
    max un-pooling    the pooled scale again, right after it
    average pooling   in and out
    head              float weight, quantized input

A pair stands at the tensor's producer, after its ReLU, and every reader shares it.
Source: TensorRT developer guide, "Q/DQ Layer-Placement Recommendations".
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence

from torch import fx, nn

from edgeseg.errors import UsageError
from edgeseg.host.fx.tracing import concat_inputs, kind_of, node_inputs
from edgeseg.host.quantization.fake_quant.layers import (
    ActivationQuantizer,
    ResidualObserver,
    quantized_layer,
)

# Child module that holds the activation quantizers, and so the prefix of their saved scales.
QUANTIZERS = "activation"
# The same for the ranges of the convolutions that adds read unwrapped.
RESIDUALS = "residual"


@dataclasses.dataclass(frozen=True)
class Point:
    """One Q/DQ pair.

    Attributes:
        node: the traced node whose result it quantizes.
        group: the scale it uses; points of one group share one quantizer.
        observe: whether calibration counts the tensor here; False for repeated values.
    """

    node: str
    group: str
    observe: bool


@dataclasses.dataclass(frozen=True)
class LayerRow:
    """What happens to one convolution: its input's scale group and its weight's grid."""

    layer: str
    input: str
    weight: str


@dataclasses.dataclass(frozen=True)
class Plan:
    """Every pair and every convolution of one network, reviewable as text.

    Attributes:
        points: the pairs, in execution order.
        layers: the convolutions, in execution order.
        adds: for each residual add, its quantized and its unwrapped operands.
        concats: for each quantized concatenation, its scale group and its inputs.
        head: the layer that keeps a float weight.
    """

    points: tuple[Point, ...]
    layers: tuple[LayerRow, ...]
    adds: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]
    concats: tuple[tuple[str, str, tuple[str, ...]], ...]
    head: str

    @property
    def groups(self) -> tuple[str, ...]:
        """The scale groups, in order of first use."""
        return tuple(dict.fromkeys(point.group for point in self.points))

    def to_text(self) -> str:
        """Return the table that golden tests and checkpoints keep.

        Its wording is a file format: `replay` compares it with what older checkpoints hold, so the
        spelling "quantised" stays.
        """
        width = max(len(row.layer) for row in self.layers) + 2
        second = max([len(row.input) for row in self.layers] + [len("input scale")]) + 2
        lines = [f"{'layer':{width}}{'input scale':{second}}weight"]
        lines += [f"{r.layer:{width}}{r.input:{second}}{r.weight}" for r in self.layers]
        lines += [
            f"add {name}: quantised {', '.join(skips) or '-'}; unwrapped {', '.join(bare) or '-'}"
            for name, skips, bare in self.adds
        ]
        lines += [
            f"concat {name}: scale {group} over {', '.join(inputs)}"
            for name, group, inputs in self.concats
        ]
        for group in self.groups:
            shared = [point.node for point in self.points if point.group == group]
            if len(shared) > 1:
                lines.append(f"scale {group} shared by {', '.join(shared)}")
        lines.append(f"{len(self.points)} pairs, {len(self.groups)} scales")
        return "\n".join(lines) + "\n"


def plan(graph_module: fx.GraphModule, keep_float: Sequence[str] = ()) -> Plan:
    """Decide every Q/DQ pair of a traced, folded network.

    Args:
        graph_module: the network; it is not changed.
        keep_float: names of convolutions that stay in float, inputs and weights.

    Raises:
        UsageError: `keep_float` names something that is not a convolution.
    """
    return _Planner(graph_module, keep_float).plan()


def apply_plan(graph_module: fx.GraphModule, decided: Plan) -> None:
    """Insert the pairs and swap in fake-quantized convolutions, in place."""
    graph_module.add_module(
        QUANTIZERS, nn.ModuleDict({group: ActivationQuantizer() for group in decided.groups})
    )
    bare = [name for _, _, unwrapped in decided.adds for name in unwrapped]
    graph_module.add_module(RESIDUALS, nn.ModuleDict({name: ResidualObserver() for name in bare}))
    nodes = {node.name: node for node in graph_module.graph.nodes}
    for name in bare:
        (add,) = nodes[name].users
        with graph_module.graph.inserting_after(nodes[name]):
            observed = graph_module.graph.call_module(f"{RESIDUALS}.{name}", (nodes[name],))
        add.replace_input_with(nodes[name], observed)
    for point in decided.points:
        node = nodes[point.node]
        readers = [user for user in node.users if kind_of(user, {}) not in ("shape", "output")]
        with graph_module.graph.inserting_after(node):
            pair = graph_module.graph.call_module(
                f"{QUANTIZERS}.{point.group}", (node,), {} if point.observe else {"observe": False}
            )
        for reader in readers:
            reader.replace_input_with(node, pair)
    for row in decided.layers:
        if row.weight != "float":
            parent, _, name = row.layer.rpartition(".")
            owner = graph_module.get_submodule(parent)
            setattr(owner, name, quantized_layer(getattr(owner, name)))
    graph_module.graph.lint()
    graph_module.recompile()


class _Planner:
    def __init__(self, graph_module: fx.GraphModule, keep_float: Sequence[str]) -> None:
        self.modules = dict(graph_module.named_modules())
        self.nodes = list(graph_module.graph.nodes)
        self.kinds = {node: kind_of(node, self.modules) for node in self.nodes}
        convs = [str(node.target) for node in self.nodes if self.kinds[node] == "conv"]
        _check_names(keep_float, convs)
        self.keep_float = set(keep_float)
        if not convs:
            raise UsageError("the network has no convolution to quantize")
        self.head = "classifier" if "classifier" in convs else convs[-1]
        self.demanded: set[fx.Node] = set()
        self.parent: dict[fx.Node, fx.Node] = {}
        self.adds: list[tuple[str, tuple[str, ...], tuple[str, ...]]] = []

    def plan(self) -> Plan:
        depth = self._conv_depth()
        for node in reversed(self.nodes):
            self._demand_inputs(node, depth)
        concats = []
        for node in self.nodes:
            if node not in self.demanded:
                continue
            if self.kinds[node] == "concat":
                inputs = concat_inputs(node)
                for source in inputs:
                    self._tie(node, source)
                concats.append((node, inputs))
            elif self.kinds[node] == "unpool":
                self._tie(node, node_inputs(node)[0])
        order = {node: index for index, node in enumerate(self.nodes)}
        anchors = [n for n in self.nodes if n in self.demanded and self._source(n) is n]
        first: dict[fx.Node, fx.Node] = {}
        for node in sorted(anchors, key=order.__getitem__):
            first.setdefault(self._root(node), node)
        points = tuple(
            Point(
                node.name,
                first[self._root(node)].name,
                observe=self.kinds[node] not in ("concat", "unpool"),
            )
            for node in anchors
        )
        return Plan(
            points=points,
            layers=tuple(self._row(n, first) for n in self.nodes if self.kinds[n] == "conv"),
            adds=tuple(reversed(self.adds)),
            concats=tuple(
                (node.name, first[self._root(node)].name, tuple(i.name for i in inputs))
                for node, inputs in concats
            ),
            head=self.head,
        )

    def _demand_inputs(self, node: fx.Node, depth: dict[fx.Node, int]) -> None:
        kind, inputs = self.kinds[node], node_inputs(node)
        if kind == "conv":
            if node.target not in self.keep_float:
                self.demanded.add(inputs[0])
        elif kind == "add":
            bare = self._unwrapped(inputs, depth)
            quantized = [source for source in inputs if source is not bare]
            self.demanded.update(quantized)
            self.adds.append(
                (node.name, tuple(n.name for n in quantized), (bare.name,) if bare else ())
            )
        elif kind == "indexed_pool":
            self.demanded.add(inputs[0])
        elif node in self.demanded:
            if kind == "concat":
                self.demanded.update(concat_inputs(node))
            elif kind in ("max_pool", "average_pool", "unpool", "identity", "item"):
                self.demanded.add(inputs[0])

    def _unwrapped(self, operands: Sequence[fx.Node], depth: dict[fx.Node, int]) -> fx.Node | None:
        """The operand that the add's kernel computes itself: the deepest private convolution."""
        candidates = [
            n
            for n in operands
            if self.kinds[n] == "conv" and len(n.users) == 1 and n.target not in self.keep_float
        ]
        return max(candidates, key=lambda n: depth[n], default=None)

    def _conv_depth(self) -> dict[fx.Node, int]:
        depth: dict[fx.Node, int] = {}
        for node in self.nodes:
            below = max((depth[source] for source in node.all_input_nodes), default=0)
            depth[node] = below + (self.kinds[node] == "conv")
        return depth

    def _source(self, node: fx.Node) -> fx.Node:
        """The node whose pair serves `node`: pooling and dropout only pass values on."""
        while self.kinds[node] in ("identity", "max_pool", "indexed_pool", "item"):
            node = node_inputs(node)[0]
        return node

    def _root(self, node: fx.Node) -> fx.Node:
        node = self._source(node)
        while node in self.parent:
            node = self.parent[node]
        return node

    def _tie(self, a: fx.Node, b: fx.Node) -> None:
        a, b = self._root(a), self._root(b)
        if a is not b:
            self.parent[a] = b

    def _row(self, node: fx.Node, first: dict[fx.Node, fx.Node]) -> LayerRow:
        name = str(node.target)
        if name in self.keep_float:
            return LayerRow(name, "float", "float")
        group = first[self._root(node_inputs(node)[0])].name
        if name == self.head:
            return LayerRow(name, group, "float")
        transposed = isinstance(self.modules[name], nn.ConvTranspose2d)
        return LayerRow(name, group, "per tensor" if transposed else "axis 0")


def _check_names(names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.3)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
            raise UsageError(f"keep_float names {name!r}, which is no convolution; {hint}")
