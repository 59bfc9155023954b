"""Reads a graph so that no runtime sees one that is broken: every runtime's parser is C++.

A damaged or hostile file has crashed OpenVINO in our own process and let rewriting run without
end. So the bytes are those whose hash was checked, no weight lies outside them, onnx's checker has
passed them, and a walk of our own finds what the checker lets through.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import TensorProto

from edgeseg.core.bundle import Bundle
from edgeseg.core.files.bounded import GRAPH_BYTES, read_bytes
from edgeseg.core.graph.constants import check_constants
from edgeseg.errors import BundleError

# Nodes of graphs in graphs (If, Loop), which no export of a segmentation network nests.
DEPTH = 8
AGAIN = "export it again with edgeseg export"
# Bits of one value; types that are missing here have no fixed size.
BITS: dict[int, int] = {
    TensorProto.FLOAT: 32, TensorProto.UINT8: 8, TensorProto.INT8: 8, TensorProto.UINT16: 16,
    TensorProto.INT16: 16, TensorProto.INT32: 32, TensorProto.INT64: 64, TensorProto.BOOL: 8,
    TensorProto.FLOAT16: 16, TensorProto.DOUBLE: 64, TensorProto.UINT32: 32,
    TensorProto.UINT64: 64, TensorProto.BFLOAT16: 16,
}  # fmt: skip


def bundle_graph(bundle: Bundle, *, islands: bool = False) -> onnx.ModelProto:
    """Read a bundle's graph for a runtime.

    Args:
        bundle: whose graph.
        islands: the form with FP16 islands, which the bundle must have.

    Raises:
        BundleError: the file has changed since the bundle was read, is no sound graph, has
            impossible constants or another precision than the manifest.
    """
    data = bundle.islands_bytes() if islands else bundle.onnx_bytes()
    path = bundle.islands_path if islands else bundle.onnx_path
    if data is None or path is None:
        raise BundleError(f"{bundle.path} has no graph with FP16 islands; {AGAIN}")
    model = parse_graph(data, path)
    check_graph(model, path)
    check_constants(path, model, "int8" if islands else bundle.precision)
    return model


def read_graph(path: Path) -> onnx.ModelProto:
    """Read an ONNX file of others for a look at it; weights may lie in files beside it.

    onnx's checker is not asked: what a runtime makes of a graph is lint's to say.

    Raises:
        BundleError: it cannot be read, is larger than protobuf takes, its weights lie outside its
            folder, or a name in it is read before it is made.
    """
    advice = "give a bundle or an ONNX file"
    data = read_bytes(path, BundleError, most=GRAPH_BYTES, advice=advice)
    model = parse_graph(data, path, inside=False, advice=advice)
    try:
        onnx.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        # A missing file, one outside the folder, or one that is too short; the classes differ.
        why = " ".join(str(error).split())[:200]
        raise BundleError(f"{path} has weights that cannot be read ({why}); {advice}") from error
    problem = _tensor_problem(model.graph) or _order_problem(model.graph, set(), 0)
    if problem is not None:
        raise BundleError(f"{path} is no sound graph: {problem}; {advice}")
    return model


def parse_graph(
    data: bytes, where: Path, *, inside: bool = True, advice: str = AGAIN
) -> onnx.ModelProto:
    """Return the model that bytes hold; nothing outside them is read.

    Args:
        data: of an ONNX file.
        where: the file, for messages.
        inside: refuse weights in other files.
        advice: what to do about a file that is no graph, for the message.

    Raises:
        BundleError: they are not ONNX, or weights lie in another file.
    """
    try:
        model = onnx.load_from_string(data)
    except Exception as error:
        # protobuf's own error class is private and moved between its releases.
        raise BundleError(f"{where} is not an ONNX file; {advice}") from error
    if not model.graph.node:
        raise BundleError(f"{where} holds no graph; {advice}")
    for name, tensor in _tensors(model.graph) if inside else ():
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            raise BundleError(
                f"{where} keeps {name!r} in another file, which no hash covers; write it with its "
                "weights inside (onnx.save without external data), or export it again"
            )
    return model


def check_graph(model: onnx.ModelProto, where: Path) -> None:
    """Refuse a graph that no runtime may see.

    Args:
        model: with its weights inside.
        where: the file, for messages.

    Raises:
        BundleError: onnx's checker refuses it, a name is made twice or read before it is made, or
            a constant has not the bytes that its shape asks for.
    """
    problem = _tensor_problem(model.graph) or _order_problem(model.graph, set(), 0)
    if problem is None:
        try:
            onnx.checker.check_model(model)
        except Exception as error:
            # Its errors are of its C++ core; some releases raise RuntimeError or ValueError.
            problem = " ".join(str(error).split())[:200] or type(error).__name__
    if problem is not None:
        raise BundleError(f"{where} is no sound graph: {problem}; {AGAIN}")


def _tensor_problem(graph: onnx.GraphProto) -> str | None:
    for name, tensor in _tensors(graph):
        if any(side < 0 for side in tensor.dims):
            return f"{name!r} has a negative size"
        values = math.prod(tensor.dims)
        bits = BITS.get(tensor.data_type)
        if tensor.HasField("raw_data"):
            if bits is not None and len(tensor.raw_data) * 8 != values * bits:
                return (
                    f"{name!r} has {len(tensor.raw_data)} bytes, its shape {list(tensor.dims)} "
                    f"asks for {values * bits // 8}"
                )
        elif values > GRAPH_BYTES:
            return f"{name!r} has a shape of {values} values"
    return None


def _order_problem(graph: onnx.GraphProto, outer: set[str], depth: int) -> str | None:
    """Say which name is made twice, or read before it is made: a circle among them."""
    if depth > DEPTH:
        return f"its graphs are nested more than {DEPTH} deep"
    made = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    made |= outer
    for node in graph.node:
        for name in node.input:
            if name and name not in made:
                return f"{node.op_type} reads {name!r}, which nothing before it makes"
        for inner in _inner(node):
            problem = _order_problem(inner, made, depth + 1)
            if problem is not None:
                return problem
        for name in node.output:
            if name and name in made:
                return f"{node.op_type} makes {name!r}, which is there already"
            made.add(name)
    for value in graph.output:
        if value.name not in made:
            return f"nothing makes its output {value.name!r}"
    return None


def _inner(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _tensors(graph: onnx.GraphProto, depth: int = 0) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield node.name or "".join(node.output[:1]), attribute.t
            for tensor in attribute.tensors:
                yield node.name or "".join(node.output[:1]), tensor
        if depth <= DEPTH:
            for inner in _inner(node):
                yield from _tensors(inner, depth + 1)
