"""Replace the lowered un-pooling by two operators of the TensorRT plugin in deploy/plugin.

The rewrite starts from the finished graph, whose lowered form has been exported, checked and
quantized before; both forms compute the same labels.

A plugin's results are float. Where the lowered pool passed INT8 on, a Q/DQ pair of the pooled
tensor's own scale stands behind the plugin's values: they are on that grid, so nothing is rounded,
and the convolution that reads them stays INT8.
"""

from __future__ import annotations

import onnx

from edgeseg.errors import ExportError

DOMAIN = "edgeseg"
POOL = "EdgesegMaxPool"
UNPOOL = "EdgesegMaxUnpool"
# Between an operator and what it really reads: an odd size's cut, a change of type.
CARRIERS = ("Slice", "Cast")


def plugin_form(data: bytes) -> bytes:
    """Return the ONNX file with plugin operators in place of the lowered un-pooling.

    Raises:
        ExportError: the graph has no lowered un-pooling.
    """
    model = onnx.load_from_string(data)
    count = use_plugin(model)
    if count == 0:
        raise ExportError(
            "--unpool plugin: the network has no un-pooling; only SegNet and its kin have, export "
            "this one without it"
        )
    return bytes(model.SerializeToString())


def use_plugin(model: onnx.ModelProto) -> int:
    """Replace every lowered pool and un-pool, in place; return how many un-pools there were."""
    known = _shapes(model)
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    pooled: dict[str, tuple[str, str]] = {}  # codes -> (what was pooled, packed indices)
    replaced: dict[int, list[onnx.NodeProto]] = {}
    for node in graph.node:
        source = _pooled_from(node, made_by)
        if source is None:
            continue
        codes = node.output[0]
        for values in graph.node:
            if values.op_type == "MaxPool" and _uncast(values.input[0], made_by) == source:
                pooled[codes] = (values.input[0], f"{codes}:packed")
                # In the place of the values' own max-pool, which is before every reader of either.
                known |= _like(known, values.output[0], pooled[codes][1], onnx.TensorProto.INT8)
                pair = _pair(model, values, made_by)
                made = pair[0].input[0] if pair else values.output[0]
                known |= _like(known, values.output[0], made)
                pool = _node(POOL, values, [values.input[0]], [made, pooled[codes][1]])
                replaced[id(values)] = [pool, *pair]
    count = 0
    for node in graph.node:
        found = _unpooled(node, made_by, pooled)
        if found is not None:
            replaced[id(node)] = [_node(UNPOOL, node, list(found), [node.output[0]])]
            count += 1
    nodes = [new for node in graph.node for new in replaced.get(id(node), [node])]
    kept = _alive(nodes, {value.name for value in graph.output})
    read = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(copies)
    graph.initializer.extend(constants)
    # Shape inference knows nothing of a plugin: what came behind it would have no size.
    made_names = [name for node in copies for name in node.output]
    graph.value_info.extend(known[name] for name in made_names if name in known)
    if count:
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    return count


def _shapes(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """Return what is known of each tensor between the graph's ends."""
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return {
        value.name: onnx.ValueInfoProto.FromString(value.SerializeToString())
        for value in inferred.graph.value_info
    }


def _like(
    known: dict[str, onnx.ValueInfoProto], name: str, new: str, kind: int | None = None
) -> dict[str, onnx.ValueInfoProto]:
    """Return the entry of a new tensor of the shape of `name`, and of another type."""
    if name not in known:
        return {}
    made = onnx.ValueInfoProto.FromString(known[name].SerializeToString())
    made.name = new
    if kind is not None:
        made.type.tensor_type.elem_type = kind
    return {new: made}


def _pair(
    model: onnx.ModelProto, values: onnx.NodeProto, made_by: dict[str, onnx.NodeProto]
) -> list[onnx.NodeProto]:
    """Return the pair behind a pool of dequantized values, nothing behind one of floats."""
    before = made_by.get(values.input[0])
    cast = before if before is not None and before.op_type == "Cast" else None
    dequantize = made_by.get(_uncast(values.input[0], made_by))
    if dequantize is None or dequantize.op_type != "DequantizeLinear":
        return []
    scale, zero = dequantize.input[1], dequantize.input[2]
    if cast is not None:
        # Q and DQ compute in their scale's type, which has to be that of the plugin's values.
        tensors = {tensor.name: tensor for tensor in model.graph.initializer}
        kind = next(a.i for a in cast.attribute if a.name == "to")
        number = onnx.numpy_helper.to_array(tensors[scale]).astype(
            onnx.helper.tensor_dtype_to_np_dtype(kind)
        )
        scale = f"{values.output[0]}:scale"
        model.graph.initializer.append(onnx.numpy_helper.from_array(number, scale))
    result = values.output[0]
    floats, levels = f"{result}:float", f"{result}:levels"
    return [
        onnx.helper.make_node(
            "QuantizeLinear", [floats, scale, zero], [levels], name=f"{values.name}/QuantizeLinear"
        ),
        onnx.helper.make_node(
            "DequantizeLinear", [levels, scale, zero], [result],
            name=f"{values.name}/DequantizeLinear",
        ),
    ]  # fmt: skip


def _pooled_from(node: onnx.NodeProto, made_by: dict[str, onnx.NodeProto]) -> str | None:
    """Return what was pooled where `node` is the max-pool that gives position codes."""
    if node.op_type != "MaxPool":
        return None
    marked = _maker(node.input[0], made_by)
    if marked is None or marked.op_type != "Where":
        return None
    test = made_by.get(marked.input[0])
    if test is None or test.op_type not in ("Equal", "Greater"):
        return None
    return _uncast(test.input[0], made_by)


def _unpooled(
    node: onnx.NodeProto,
    made_by: dict[str, onnx.NodeProto],
    pooled: dict[str, tuple[str, str]],
) -> tuple[str, str, str] | None:
    """Return values, packed indices and the tensor that gives the size, where `node` un-pools."""
    test = made_by.get(node.input[0]) if node.op_type == "Where" else None
    if test is None or test.op_type != "Equal":
        return None
    codes, values = _doubled(test.input[0], made_by), _doubled(node.input[1], made_by)
    if codes not in pooled or values is None:
        return None
    source, packed = pooled[codes]
    return values, packed, source


def _doubled(name: str, made_by: dict[str, onnx.NodeProto]) -> str | None:
    """Return what a nearest resize, perhaps cut after it, was given."""
    resize = _maker(name, made_by)
    return str(resize.input[0]) if resize is not None and resize.op_type == "Resize" else None


def _uncast(name: str, made_by: dict[str, onnx.NodeProto]) -> str:
    while name in made_by and made_by[name].op_type == "Cast":
        name = made_by[name].input[0]
    return name


def _maker(name: str, made_by: dict[str, onnx.NodeProto]) -> onnx.NodeProto | None:
    node = made_by.get(name)
    while node is not None and node.op_type in CARRIERS:
        node = made_by.get(node.input[0])
    return node


def _node(kind: str, like: onnx.NodeProto, inputs: list[str], outputs: list[str]) -> onnx.NodeProto:
    # TensorRT's parser finds the plugin by the operator's name and these two attributes.
    return onnx.helper.make_node(
        kind,
        inputs,
        outputs,
        name=f"{like.name}/{kind}",
        domain=DOMAIN,
        plugin_version="1",
        plugin_namespace="",
    )


def _alive(nodes: list[onnx.NodeProto], wanted: set[str]) -> list[onnx.NodeProto]:
    kept = []
    needed = set(wanted)
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    return kept[::-1]
