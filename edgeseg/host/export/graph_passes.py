"""Passes over the exported ONNX graph: real INT8 weights, readable names, no repeated constants."""

from __future__ import annotations

import ast
import json
from collections import Counter
from collections.abc import Iterator

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from edgeseg.host.quantization.fake_quant.rounding import INT8_MAX, INT8_MIN
from edgeseg.host.quantization.qdq_placement import RESIDUALS

SCOPES = "pkg.torch.onnx.name_scopes"
# Children of the deployed wrapper that hold the network; readers know layers without them.
WRAPPER_PREFIXES = ("model.body.", "model.")


def tidy(model: onnx.ModelProto) -> dict[str, float]:
    """Run every pass, in place; return the scales of lift_residuals."""
    pool_globally(model)
    store_int8_weights(model)
    name_nodes(model)
    scales = {**lift_residuals(model), **resize_scales(model)}
    share_constants(model)
    split_planes(model)
    strip(model)
    return scales


def store_int8_weights(model: onnx.ModelProto) -> int:
    """Replace float weight -> QuantizeLinear by an int8 initializer; return how many there were.

    Levels are computed with the operator that quantized them in training, so that both agree on
    weights that lie exactly between two levels.
    """
    graph = model.graph
    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept, count = [], 0
    for node in graph.node:
        if node.op_type != "QuantizeLinear" or node.input[0] not in constants:
            kept.append(node)
            continue
        weight, scale = (
            torch.from_numpy(numpy_helper.to_array(constants[name]).copy())
            for name in node.input[:2]
        )
        axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
        name = node.input[0]
        levels = numpy_helper.from_array(_levels(weight, scale, axis), f"{name}_q")
        if levels.name not in constants:  # equal weights are stored once, too
            graph.initializer.append(levels)
            constants[levels.name] = levels
            _rename_tensor(graph, constants, node.input[1], f"{name}_scale")
        _rename_readers(graph, node.output[0], levels.name)
        count += 1
    del graph.node[:]
    graph.node.extend(kept)
    _drop_unused_initializers(graph)
    return count


def pool_globally(model: onnx.ModelProto) -> int:
    """Write a mean over height and width as GlobalAveragePool; return how many there were.

    It is the same sum; runtimes have an integer kernel for this operator and none for ReduceMean.
    """
    graph = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    count = 0
    for node in graph.node:
        if node.op_type != "ReduceMean":
            continue
        keep = next((a.i for a in node.attribute if a.name == "keepdims"), 1)
        # Up to opset 17 the axes are an attribute.
        given = next((a.ints for a in node.attribute if a.name == "axes"), ())
        if len(node.input) > 1 and node.input[1] in constants:
            given = constants[node.input[1]].flatten()
        # Network tensors are N,C,H,W throughout, so -1, -2 and 2, 3 are the same axes.
        axes = {int(axis) % 4 for axis in given}
        if keep and axes == {2, 3}:
            node.op_type = "GlobalAveragePool"
            del node.input[1:]
            del node.attribute[:]
            count += 1
    _drop_unused_initializers(graph)
    return count


def name_nodes(model: onnx.ModelProto) -> None:
    """Name every node, and its first result, MODULE.PATH/Operator."""
    graph = model.graph
    keep = {value.name for value in (*graph.input, *graph.output)}
    renamed: dict[str, str] = {}
    for tensor in graph.initializer:
        renamed[tensor.name] = _without_wrapper(tensor.name)
        tensor.name = renamed[tensor.name]
    used: Counter[str] = Counter()
    for node in graph.node:
        base = f"{_module_path(node)}/{node.op_type}".lstrip("/")
        used[base] += 1
        node.name = base if used[base] == 1 else f"{base}_{used[base]}"
        for place, name in enumerate(node.input):
            node.input[place] = renamed.get(name, name)
        for place, name in enumerate(node.output):
            if name and name not in keep:
                renamed[name] = node.name if place == 0 else f"{node.name}:{place}"
                node.output[place] = renamed[name]
    del graph.value_info[:]


def lift_residuals(model: onnx.ModelProto) -> dict[str, float]:
    """Take out the Q/DQ pairs of ResidualObservers; return tensor name -> scale in their place."""
    graph = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    scales: dict[str, float] = {}
    source: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = source.get(name, name)
        if not node.name.startswith(f"{RESIDUALS}."):
            kept.append(node)
            continue
        source[node.output[0]] = node.input[0]
        if node.op_type == "QuantizeLinear":
            scales[node.input[0]] = float(constants[node.input[1]])
    del graph.node[:]
    graph.node.extend(kept)
    _drop_unused_initializers(graph)
    return scales


def resize_scales(model: onnx.ModelProto) -> dict[str, float]:
    """Return the scale after each resize as a scale for the float tensor before it.

    Interpolation stays within its input's range, and the grid after it is the only one that any
    later layer sees.
    """
    graph = model.graph
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    resized = {
        node.output[0]: node.input[0]
        for node in graph.node
        if node.op_type == "Resize" and made_by.get(node.input[0]) in ("Conv", "Relu")
    }
    return {
        resized[node.input[0]]: float(constants[node.input[1]])
        for node in graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] in resized
    }


def share_constants(model: onnx.ModelProto) -> None:
    """Keep one of each set of equal initializers."""
    graph = model.graph
    first: dict[tuple[int, tuple[int, ...], bytes], str] = {}
    same: dict[str, str] = {}
    for tensor in graph.initializer:
        value = numpy_helper.to_array(tensor)
        key = (tensor.data_type, tuple(tensor.dims), value.tobytes())
        same[tensor.name] = first.setdefault(key, tensor.name)
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = same.get(name, name)
    _drop_unused_initializers(graph)


def split_planes(model: onnx.ModelProto) -> int:
    """Store a constant 1,1,H,W plane that is a row plus a column as their sum; return how many.

    The un-pooling's cell codes are such planes, as large as an image; runtimes fold the sum when
    they load the graph.
    """
    graph = model.graph
    added = []
    for tensor in list(graph.initializer):
        plane = numpy_helper.to_array(tensor)
        if plane.ndim != 4 or plane.shape[:2] != (1, 1) or min(plane.shape[2:]) < 2:
            continue
        rows, columns = plane[:, :, :, :1], plane[:, :, :1, :] - plane[:, :, :1, :1]
        if not np.array_equal(rows + columns, plane):
            continue
        parts = [f"{tensor.name}_{part}" for part in ("rows", "columns")]
        graph.initializer.remove(tensor)
        graph.initializer.extend(map(numpy_helper.from_array, (rows, columns), parts))
        added.append(onnx.helper.make_node("Add", parts, [tensor.name], name=f"{tensor.name}/Add"))
    nodes = [*added, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return len(added)


def strip(model: onnx.ModelProto) -> None:
    """Drop the exporter's notes, and the axis of quantizers that have one scale."""
    graph = model.graph
    scalars = {tensor.name for tensor in graph.initializer if not tensor.dims}
    for node in graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[1] in scalars:
            kept = [a for a in node.attribute if a.name != "axis"]
            del node.attribute[:]
            node.attribute.extend(kept)
    for value in (*graph.input, *graph.output, *graph.initializer):
        del value.metadata_props[:]
    del graph.metadata_props[:]
    graph.ClearField("doc_string")


def set_metadata(model: onnx.ModelProto, entries: dict[str, str]) -> None:
    """Replace the model's metadata."""
    del model.metadata_props[:]
    for key, value in entries.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value


def residual_entry(scales: dict[str, float]) -> dict[str, str]:
    """Return the metadata entry that CPU backends read, none if there are no scales."""
    return {"edgeseg.residual_scales": json.dumps(scales)} if scales else {}


def _levels(weight: torch.Tensor, scale: torch.Tensor, axis: int) -> np.ndarray:
    zero = torch.zeros(scale.shape, dtype=torch.int32)
    if scale.ndim == 0:
        grid = torch.fake_quantize_per_tensor_affine(weight, scale, zero, INT8_MIN, INT8_MAX)
        levels = grid / scale
    else:
        grid = torch.fake_quantize_per_channel_affine(weight, scale, zero, axis, INT8_MIN, INT8_MAX)
        levels = grid / scale.view([-1 if d == axis else 1 for d in range(weight.ndim)])
    return levels.round().to(torch.int8).numpy()


def _module_path(node: onnx.NodeProto) -> str:
    """Return the innermost module the node came from; constants' nodes have none."""
    for entry in node.metadata_props:
        if entry.key == SCOPES:
            scopes = ast.literal_eval(entry.value)
            # The last entry names the operator, not a module.
            path = scopes[-2] if len(scopes) > 1 else ""
            return _without_wrapper(str(path))
    return ""


def _without_wrapper(name: str) -> str:
    for prefix in WRAPPER_PREFIXES:
        if name.startswith(prefix):
            return name.removeprefix(prefix)
    return name


def _tensor_names(graph: onnx.GraphProto) -> Iterator[str]:
    for node in graph.node:
        yield from node.input
    for value in graph.output:
        yield value.name


def _drop_unused_initializers(graph: onnx.GraphProto) -> None:
    read = set(_tensor_names(graph))
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _rename_readers(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for place, name in enumerate(node.input):
            if name == old:
                node.input[place] = new


def _rename_tensor(
    graph: onnx.GraphProto, constants: dict[str, onnx.TensorProto], old: str, new: str
) -> None:
    constants[old].name = new
    # Equal scales are stored once: a later weight may look for this one by its new name.
    constants[new] = constants[old]
    _rename_readers(graph, old, new)
