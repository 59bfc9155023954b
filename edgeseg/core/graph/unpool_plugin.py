"""Replace the lowered un-pooling by two operators of the TensorRT plugin in deploy/plugin.

The rewrite starts from the finished graph, whose lowered form has been exported, checked and
quantized before; both forms compute the same labels.
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
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    pooled: dict[str, tuple[str, str]] = {}  # codes -> (what was pooled, packed indices)
    replaced: dict[int, onnx.NodeProto] = {}
    for node in graph.node:
        source = _pooled_from(node, made_by)
        if source is None:
            continue
        codes = node.output[0]
        for values in graph.node:
            if values.op_type == "MaxPool" and _uncast(values.input[0], made_by) == source:
                pooled[codes] = (values.input[0], f"{codes}:packed")
                # In the place of the values' own max-pool, which is before every reader of either.
                results = [values.output[0], pooled[codes][1]]
                replaced[id(values)] = _node(POOL, values, [values.input[0]], results)
    count = 0
    for node in graph.node:
        found = _unpooled(node, made_by, pooled)
        if found is not None:
            replaced[id(node)] = _node(UNPOOL, node, list(found), [node.output[0]])
            count += 1
    nodes = [replaced.get(id(node), node) for node in graph.node]
    kept = _alive(nodes, {value.name for value in graph.output})
    read = {name for node in kept for name in node.input}
    constants = [tensor for tensor in graph.initializer if tensor.name in read]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in kept]
    del graph.node[:], graph.initializer[:], graph.value_info[:]
    graph.node.extend(copies)
    graph.initializer.extend(constants)
    if count:
        model.opset_import.append(onnx.helper.make_opsetid(DOMAIN, 1))
    return count


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
