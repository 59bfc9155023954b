"""Reads somebody's ONNX file: checked, its external data inside its own folder, nodes in order."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import onnx
import onnx.inliner
from onnx import AttributeProto, TensorProto, external_data_helper

from edgeseg.core.graph.constants import INTEGER_OPERATORS, QUANTIZING
from edgeseg.errors import ExportError

OLDEST_OPSET = 11
# Segmentation networks have 50 to 3000 nodes. Above this, checking alone takes minutes.
MOST_NODES = 20_000
# What protobuf can hold in one file.
MOST_BYTES = 2**31 - 1
OWN_DOMAINS = ("", "ai.onnx")
AGAIN = "export it again"


def read_network(path: Path) -> onnx.ModelProto:
    """Read a float network whose nodes any runtime may be asked for.

    Args:
        path: an ONNX file; weights outside it are read from its own folder only.

    Returns:
        The model with all weights inside, its functions inlined, its nodes in executable order.

    Raises:
        ExportError: the file is missing, damaged, too large, quantized or older than opset 11, has
            operators of one runtime, weights outside its folder, or a circle.
    """
    model = _parsed(path)
    _check_length(path, model)
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    graph = model.graph
    nodes = list(all_nodes(graph))
    opset = next((o.version for o in model.opset_import if o.domain in OWN_DOMAINS), 0)
    if opset < OLDEST_OPSET:
        raise ExportError(
            f"{path} has opset {opset}, expected {OLDEST_OPSET} or later; {AGAIN} with "
            "opset_version=18"
        )
    _check_operators(path, nodes)
    _read_external(path, model)
    _sort(path, graph)
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        # ValidationError, and UnicodeDecodeError where a name in its message is no UTF-8.
        raise ExportError(f"{path} is not valid ONNX: {_first_line(error)}; {AGAIN}") from error
    return model


def all_nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Yield the nodes of a graph and of the graphs inside them."""
    for node in graph.node:
        yield node
        for inner in inner_graphs(node):
            yield from all_nodes(inner)


def inner_graphs(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    """Yield the branches and bodies of an If, Loop or Scan."""
    for attribute in node.attribute:
        if attribute.type == AttributeProto.GRAPH:
            yield attribute.g
        yield from attribute.graphs


def all_tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yield every constant of a graph: its initializers and those in attributes."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                yield attribute.t
            yield from attribute.tensors
        for inner in inner_graphs(node):
            yield from all_tensors(inner)


def _parsed(path: Path) -> onnx.ModelProto:
    if not path.is_file():
        raise ExportError(f"{path} is not a file; give an ONNX file")
    if path.stat().st_size > MOST_BYTES:
        raise ExportError(
            f"{path} has {path.stat().st_size / 2**30:.1f} GiB, one ONNX file holds less than 2; "
            "save its weights as external data"
        )
    try:
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise ExportError(f"{path} cannot be read ({error.strerror or error})") from error
    except Exception as error:
        # protobuf's own error class is private and moved between its releases.
        raise ExportError(f"{path} is not an ONNX file, or is damaged; {AGAIN}") from error
    if not model.graph.node:
        raise ExportError(f"{path} holds no graph; give an ONNX file of a network")
    return model


def _check_length(path: Path, model: onnx.ModelProto) -> None:
    """Count the nodes with every call of a function written out, before any is."""
    functions = {(each.domain, each.name): each for each in model.functions}
    lengths: dict[tuple[str, str], int] = {}

    def length(nodes: Iterable[onnx.NodeProto], inside: tuple[tuple[str, str], ...]) -> int:
        total = 0
        for node in nodes:
            called = (node.domain, node.op_type)
            if called in inside:
                raise ExportError(f"{path} has a function {node.op_type!r} that calls itself")
            if called in functions and called not in lengths:
                lengths[called] = length(functions[called].node, (*inside, called))
            total += lengths.get(called, 1)
            for inner in inner_graphs(node):
                total += length(inner.node, inside)
        return total

    count = length(model.graph.node, ())
    if count > MOST_NODES:
        raise ExportError(
            f"{path} has {count} nodes, more than the {MOST_NODES} that edgeseg reads; give "
            "the segmentation network alone"
        )


def _check_operators(path: Path, nodes: list[onnx.NodeProto]) -> None:
    quantized = [n for n in nodes if n.op_type in (*QUANTIZING, *INTEGER_OPERATORS)]
    if quantized:
        raise ExportError(
            f"{path} is quantized already ({quantized[0].op_type}); give the float file, edgeseg "
            "places Q/DQ itself: edgeseg export BUNDLE --int8 --calibrate DATA"
        )
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in nodes if n.domain not in OWN_DOMAINS})
    if foreign:
        raise ExportError(
            f"{path} has operators that are not ONNX's own ({', '.join(foreign[:3])}), which "
            "other runtimes do not know; give the file as it was before it was optimized for one"
        )


def _read_external(path: Path, model: onnx.ModelProto) -> None:
    """Read weights that lie outside the file, as far as they lie in its folder."""
    folder = path.parent.resolve()
    outside = [
        tensor
        for tensor in all_tensors(model.graph)
        if tensor.data_location == TensorProto.EXTERNAL
    ]
    for tensor in outside:
        try:
            info = external_data_helper.ExternalDataInfo(tensor)
        except (TypeError, ValueError) as error:
            raise ExportError(
                f"{path}: where the weights of {tensor.name!r} lie is damaged "
                f"({_first_line(error)}); {AGAIN}"
            ) from error
        place = (folder / info.location).resolve()
        if Path(info.location).is_absolute() or folder not in place.parents:
            raise ExportError(
                f"{path}: the weights of {tensor.name!r} are said to lie in {info.location!r}, "
                f"outside the file's folder, which is not read; {AGAIN} with its data beside it"
            )
        if not place.is_file():
            raise ExportError(f"{path}: its weights {info.location} are missing; copy them beside")
        begin, length = info.offset or 0, info.length
        end = place.stat().st_size if length is None else begin + length
        if begin < 0 or end > place.stat().st_size:
            raise ExportError(
                f"{path}: {info.location} has {place.stat().st_size} bytes, {tensor.name!r} ends "
                f"at {end}; copy both files again"
            )
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        except Exception as error:
            # onnx raises its checker's errors here, and whatever the file system says.
            raise ExportError(
                f"{path}: {info.location} cannot be read ({_first_line(error)})"
            ) from error
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _sort(path: Path, graph: onnx.GraphProto) -> None:
    """Bring the nodes into an order in which each reads what exists, in place.

    Raises:
        ExportError: there is none, or a tensor is made twice.
    """
    maker: dict[str, int] = {}
    for index, node in enumerate(graph.node):
        for name in filter(None, node.output):
            if name in maker:
                raise ExportError(f"{path} is not valid ONNX: two nodes make {name!r}; {AGAIN}")
            maker[name] = index
    waits: dict[int, int] = {}
    readers: dict[int, list[int]] = defaultdict(list)
    for index, node in enumerate(graph.node):
        sources = {maker[name] for name in _reads(node) if name in maker}
        waits[index] = len(sources)
        for source in sources:
            readers[source].append(index)
    # The first that is ready comes first, so that an order that was right stays as it was.
    ready = [index for index, count in waits.items() if not count]
    order = []
    while ready:
        index = heapq.heappop(ready)
        order.append(index)
        for reader in readers[index]:
            waits[reader] -= 1
            if not waits[reader]:
                heapq.heappush(ready, reader)
    if len(order) < len(graph.node):
        stuck = next(index for index, count in waits.items() if count)
        name = graph.node[stuck].name or graph.node[stuck].output[0]
        raise ExportError(f"{path} has a circle: node {name!r} waits for its own result; {AGAIN}")
    if order == sorted(order):
        return
    nodes = [onnx.NodeProto.FromString(graph.node[i].SerializeToString()) for i in order]
    del graph.node[:]
    graph.node.extend(nodes)


def _reads(node: onnx.NodeProto) -> Iterator[str]:
    yield from filter(None, node.input)
    for inner in inner_graphs(node):
        for each in inner.node:
            yield from _reads(each)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
