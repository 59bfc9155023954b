"""Puts a network between a uint8 frame and uint8 labels, as every graph of a bundle is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.spec import ModelSpec
from edgeseg.host.imports.onnx_file.ends import Entry, Exit
from edgeseg.host.imports.onnx_file.prepare import drop_unused
from edgeseg.host.imports.onnx_file.read import OWN_DOMAINS, all_nodes

FRAME, LABELS = "frame", "labels"
# Begins the names of what is added.
OURS = "edgeseg"
TO_PLANES, TO_PIXELS = (0, 3, 1, 2), (0, 2, 3, 1)


def wrapped(model: onnx.ModelProto, spec: ModelSpec, entry: Entry, end: Exit) -> onnx.ModelProto:
    """Return the graph frame uint8 1,H,W,3 -> labels uint8 1,H,W around a network.

    Normalization, resize and argmax are node by node those of edgeseg's own exports.

    Args:
        model: a prepared network; it is not changed.
        spec: gives size and normalization; mean 0 and deviation 1/255 hand over bytes.
        entry: what the network takes.
        end: what it gives.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    _free_names(graph)
    entry = dataclasses.replace(entry, name=free_name(entry.name))
    end = dataclasses.replace(end, tensor=free_name(end.tensor))
    start = _Nodes(made, "normalize")
    _begin(graph, spec, entry, start)
    stop = _Nodes(made, "labels")
    _finish(spec, end, stop)
    nodes = [*start.nodes, *graph.node, *stop.nodes]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(copies)
    height, width = spec.size_hw
    info = helper.make_tensor_value_info
    graph.input.append(info(FRAME, TensorProto.UINT8, [1, height, width, 3]))
    graph.output.append(info(LABELS, TensorProto.UINT8, [1, height, width]))
    _cancel_transposes(graph)
    drop_unused(graph)
    return made


class _Nodes:
    """A chain of new nodes; each reads the result of the one before."""

    def __init__(self, model: onnx.ModelProto, part: str) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.opset = next(o.version for o in model.opset_import if o.domain in OWN_DOMAINS)
        self._graph, self._part = model.graph, f"{OURS}.{part}"

    def add(self, operator: str, inputs: Sequence[str], result: str = "", **attributes: Any) -> str:
        name = f"{self._part}/{operator}_{len(self.nodes)}"
        result = result or name
        self.nodes.append(helper.make_node(operator, inputs, [result], name=name, **attributes))
        return result

    def constant(self, value: np.ndarray, what: str) -> str:
        name = f"{self._part}.{what}"
        self._graph.initializer.append(numpy_helper.from_array(value, name))
        return name


def _begin(graph: onnx.GraphProto, spec: ModelSpec, entry: Entry, nodes: _Nodes) -> None:
    rule = spec.preprocess
    value = nodes.add("Cast", [FRAME], to=TensorProto.FLOAT)
    value = nodes.add("Transpose", [value], perm=TO_PLANES)
    if not entry.bytes:
        scale = nodes.constant(np.array(1.0 / 255.0, np.float32), "scale")
        value = nodes.add("Mul", [value, scale])
        mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (rule.mean, rule.std))
        if mean.any():
            value = nodes.add("Sub", [value, nodes.constant(mean, "mean")])
        if (std != 1).any():
            value = nodes.add("Div", [value, nodes.constant(std, "std")])
    if entry.channels_last:
        value = nodes.add("Transpose", [value], perm=TO_PIXELS)
    if entry.bytes:
        # TensorRT has uint8 at the network's border only, so the network's own cast goes.
        casts = [n for n in graph.node if entry.name in n.input]
        if casts and all(n.op_type == "Cast" for n in casts):
            for node in casts:
                _read_from(graph, node.output[0], value)
            return
        value = nodes.add("Cast", [value], to=TensorProto.UINT8)
    _read_from(graph, entry.name, value)


def _finish(spec: ModelSpec, end: Exit, nodes: _Nodes) -> None:
    value = end.tensor
    full = end.size_hw == spec.size_hw
    if end.kind == "labels":
        if not full:
            value = _as_planes(value, end, nodes)
            value = nodes.add("Cast", [value], to=TensorProto.FLOAT)
            value = _resized(value, end, spec, nodes, "nearest")
        shape = nodes.constant(np.array([1, *spec.size_hw], np.int64), "shape")
        value = nodes.add("Reshape", [value, shape])
        value = nodes.add("Cast", [value], to=TensorProto.FLOAT)
        nodes.add("Cast", [value], LABELS, to=TensorProto.UINT8)
        return
    if end.channels_last:
        value = nodes.add("Transpose", [value], perm=TO_PLANES)
    if end.kind == "score":
        # Half the score for and half against: their softmax is the score's sigmoid.
        if end.threshold:
            limit = nodes.constant(np.array(end.threshold, np.float32), "threshold")
            value = nodes.add("Sub", [value, limit])
        against = nodes.add("Mul", [value, nodes.constant(np.array(-0.5, np.float32), "against")])
        for_it = nodes.add("Mul", [value, nodes.constant(np.array(0.5, np.float32), "for")])
        value = nodes.add("Concat", [against, for_it], axis=1)
    if not full:
        value = _resized(value, end, spec, nodes, "linear")
    value = nodes.add("ArgMax", [value], axis=1, keepdims=0)
    value = nodes.add("Cast", [value], to=TensorProto.FLOAT)
    nodes.add("Cast", [value], LABELS, to=TensorProto.UINT8)


def _as_planes(value: str, end: Exit, nodes: _Nodes) -> str:
    shape = nodes.constant(np.array([1, 1, *end.size_hw], np.int64), "planes")
    return nodes.add("Reshape", [value, shape])


def _resized(value: str, end: Exit, spec: ModelSpec, nodes: _Nodes, mode: str) -> str:
    channels = spec.n_classes if mode == "linear" else 1
    sizes = nodes.constant(np.array([1, channels, *spec.size_hw], np.int64), "sizes")
    extra = {"nearest_mode": "floor"} if mode == "nearest" else {}
    rule = "asymmetric" if mode == "nearest" else "half_pixel"
    # Before opset 13 the region and the scales, which are not used, must be there.
    empty = nodes.constant(np.array([], np.float32), "unused") if nodes.opset < 13 else ""
    return nodes.add(
        "Resize",
        [value, empty, empty, sizes],
        mode=mode,
        coordinate_transformation_mode=rule,
        **extra,
    )


def _cancel_transposes(graph: onnx.GraphProto) -> None:
    """Let readers of a transpose that undoes the one before read what stood before both."""
    makers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        before = makers.get(node.input[0]) if node.op_type == "Transpose" else None
        if before is None or before.op_type != "Transpose":
            continue
        first, second = (next(a.ints for a in n.attribute if a.name == "perm") for n in
                         (before, node))  # fmt: skip
        if [first[axis] for axis in second] == list(range(len(first))):
            _read_from(graph, node.output[0], before.input[0])


def _read_from(graph: onnx.GraphProto, before: str, after: str) -> None:
    """Let whoever reads `before` read `after`."""
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == before:
                node.input[place] = after


def free_name(name: str) -> str:
    """Return what a tensor of the network is called beside ours."""
    return f"network.{name}" if name in (FRAME, LABELS) or name.startswith(f"{OURS}.") else name


def _free_names(graph: onnx.GraphProto) -> None:
    """Rename tensors of the network that have the names of ours."""
    for node in all_nodes(graph):
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = free_name(name)
    for value in (*graph.input, *graph.output, *graph.value_info, *graph.initializer):
        value.name = free_name(value.name)
