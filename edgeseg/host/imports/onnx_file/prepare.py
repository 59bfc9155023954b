"""Makes a read ONNX network fixed in size, FP32, free of shape arithmetic and of batch norms."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, TensorProto, helper, numpy_helper, shape_inference

from edgeseg.core.graph.view import attributes
from edgeseg.errors import ExportError
from edgeseg.host.export.graph_passes import pool_globally
from edgeseg.host.imports.onnx_file.read import all_nodes, all_tensors, inner_graphs

# Bytes of one tensor above which no board could run the network, and this machine might not.
LARGEST_TENSOR = 2**31
# A constant that folding would make larger than this stays computed.
LARGEST_FOLDED = "64MB"


def with_input_shape(model: onnx.ModelProto, name: str, shape: tuple[int, ...]) -> onnx.ModelProto:
    """Return a copy whose input has a fixed shape, with all other shapes left to inference.

    Args:
        model: as read.
        name: of the input.
        shape: what it becomes.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    held = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in held]
    del graph.input[:], graph.value_info[:]
    for value in inputs:
        if value.name == name:
            value = helper.make_tensor_value_info(
                name, value.type.tensor_type.elem_type, list(shape)
            )
        graph.input.append(value)
    for output in graph.output:
        # What stands there is of the size that the file was written for.
        for dim in output.type.tensor_type.shape.dim:
            dim.Clear()
    return made


def check_tensors(path: Path, model: onnx.ModelProto) -> None:
    """Refuse a network whose tensors would not fit a machine's memory.

    Args:
        path: for the message.
        model: its input's shape fixed.

    Raises:
        ExportError: a tensor is larger than LARGEST_TENSOR.
    """
    try:
        inferred = shape_inference.infer_shapes(model, data_prop=True)
    except Exception as error:
        # onnx raises errors of its C++ core, whose classes differ between releases.
        reason = str(error).strip().splitlines()[-1]
        raise ExportError(f"{path}: its shapes do not fit each other ({reason})") from error
    for value in inferred.graph.value_info:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        count = int(np.prod([max(d, 1) for d in dims], dtype=np.float64))
        if count * 4 > LARGEST_TENSOR:
            raise ExportError(
                f"{path}: tensor {value.name!r} has {'x'.join(map(str, dims))} values, "
                f"{count * 4 / 2**30:.0f} GiB; give a smaller --size, or the network alone"
            )


def in_float32(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy in which every FP16 and FP64 number is an FP32 number."""
    wide = (TensorProto.FLOAT16, TensorProto.DOUBLE)
    made = onnx.ModelProto()
    made.CopyFrom(model)
    for tensor in all_tensors(made.graph):
        if tensor.data_type in wide:
            array = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    for node in all_nodes(made.graph):
        for attribute in node.attribute:
            kind = attribute.type == AttributeProto.INT and attribute.name in ("to", "dtype")
            if kind and attribute.i in wide:
                attribute.i = TensorProto.FLOAT
    graphs = [made.graph]
    while graphs:
        graph = graphs.pop()
        for value in (*graph.input, *graph.output, *graph.value_info):
            if value.type.tensor_type.elem_type in wide:
                value.type.tensor_type.elem_type = TensorProto.FLOAT
        graphs += [inner for node in graph.node for inner in inner_graphs(node)]
    return made


def simplified(path: Path, model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a network without shape arithmetic, dead nodes and foldable batch norms.

    Args:
        path: for the message.
        model: its input's shape fixed.

    Raises:
        ExportError: a shape or type contradicts another.
    """
    import onnxsim

    try:
        made, _ = onnxsim.simplify(
            model, check_n=0, skip_fuse_bn=True, tensor_size_threshold=LARGEST_FOLDED
        )
    except Exception as error:
        # onnxsim raises whatever its C++ core raised.
        reason = (str(error).strip().splitlines() or ["no reason given"])[-1]
        raise ExportError(f"{path} cannot be simplified at this --size ({reason})") from error
    constants_as_initializers(made.graph)
    fold_batch_norms(made.graph)
    pool_globally(made)
    name_nodes(made.graph)
    # Of a tool that ran here, not of the network.
    del made.metadata_props[:]
    return made


def constants_as_initializers(graph: onnx.GraphProto) -> None:
    """Turn Constant nodes of tensors into initializers, in place."""
    kept = []
    for node in graph.node:
        value = next((a.t for a in node.attribute if a.name == "value"), None)
        if node.op_type != "Constant" or value is None:
            kept.append(node)
            continue
        tensor = graph.initializer.add()
        tensor.CopyFrom(value)
        tensor.name = node.output[0]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)


def fold_batch_norms(graph: onnx.GraphProto) -> int:
    """Fold every BatchNormalization right behind a convolution into it, in place.

    The same as host/fx/fold_batch_norm.py, in float64.

    Returns:
        How many were folded.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    makers = {name: node for node in graph.node for name in node.output}
    reads = Counter(name for node in all_nodes(graph) for name in node.input)
    reads.update(value.name for value in graph.output)
    shared = Counter(name for node in graph.node for name in node.input if name in constants)
    gone: list[onnx.NodeProto] = []
    for norm in graph.node:
        conv = makers.get(norm.input[0]) if norm.op_type == "BatchNormalization" else None
        if (
            conv is None
            or conv.op_type not in ("Conv", "ConvTranspose")
            or reads[conv.output[0]] != 1
            or not all(name in constants for name in (*conv.input[1:], *norm.input[1:]))
            or len([name for name in norm.output if name]) > 1
        ):
            continue
        given = [numpy_helper.to_array(constants[name]) for name in conv.input[1:3]]
        weight = given[0].astype(np.float64)
        about = attributes(norm)
        gain, shift, mean, variance = (
            numpy_helper.to_array(constants[name]).astype(np.float64) for name in norm.input[1:5]
        )
        gain = gain / np.sqrt(variance + about.get("epsilon", 1e-5))
        bias = given[1].astype(np.float64) if len(given) > 1 else 0.0
        groups = int(attributes(conv).get("group", 1))
        if conv.op_type == "Conv":
            folded = weight * gain.reshape(-1, *[1] * (weight.ndim - 1))
        else:
            # Weight is (in, out / groups, …), as torch's; a group's rows give its own outputs.
            rows = gain.reshape(groups, 1, -1).repeat(weight.shape[0] // groups, axis=1)
            folded = weight * rows.reshape(weight.shape[0], -1, *[1] * (weight.ndim - 2))
        name = conv.input[1]
        base = name if shared[name] == 1 else f"{name}.{conv.output[0]}"
        values = {
            base: folded,
            f"{base}.folded_bias": (bias - mean) * gain + shift,
        }
        for key, value in values.items():
            tensor = numpy_helper.from_array(value.astype(given[0].dtype), key)
            if key in constants:
                constants[key].CopyFrom(tensor)
            else:
                graph.initializer.append(tensor)
                constants[key] = graph.initializer[-1]
        del conv.input[1:]
        conv.input.extend(values)
        conv.output[0] = norm.output[0]
        makers[norm.output[0]] = conv
        gone.append(norm)
    kept = [node for node in graph.node if not any(node is one for one in gone)]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)
    drop_unused(graph)
    return len(gone)


def drop_unused(graph: onnx.GraphProto) -> None:
    """Drop nodes whose results nobody reads, then constants likewise, in place."""
    needed = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if any(name in needed for name in node.output):
            kept.append(node)
            needed.update(name for each in (node, *_inside(node)) for name in each.input)
            needed.update(value.name for inner in inner_graphs(node) for value in inner.output)
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in reversed(kept)]
    del graph.node[:]
    graph.node.extend(copies)
    tensors = [tensor for tensor in graph.initializer if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(tensors)
    made = {name for node in graph.node for name in node.output}
    values = [value for value in graph.value_info if value.name in made]
    del graph.value_info[:]
    graph.value_info.extend(values)


def name_nodes(graph: onnx.GraphProto) -> None:
    """Give every node a name of its own; those that have one keep it."""
    used: Counter[str] = Counter()
    for node in graph.node:
        base = node.name or f"{node.op_type}_{node.output[0]}"
        used[base] += 1
        node.name = base if used[base] == 1 else f"{base}_{used[base]}"


def _inside(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    return [each for inner in inner_graphs(node) for each in all_nodes(inner)]
