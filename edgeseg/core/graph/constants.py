"""What a graph's constants must be, and what its nodes say of its precision."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from edgeseg.errors import BundleError

QUANTIZING = ("QuantizeLinear", "DequantizeLinear")
INTEGER_OPERATORS = ("QLinearConv", "ConvInteger", "QLinearMatMul", "MatMulInteger")
WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE)


def constant_problems(graph: onnx.GraphProto) -> list[str]:
    """Return one text for each constant that no computation should have.

    A weight, bias or range that is NaN or infinite, and a quantizer's scale that is not above 0.
    One NaN early in a network makes every pixel class 0, on every runtime, without an error.
    """
    constants = dict(_constants(graph))
    problems = []
    for name, tensor in constants.items():
        if tensor.data_type in FLOATS and tensor.data_location != TensorProto.EXTERNAL:
            values = numpy_helper.to_array(tensor).astype(np.float64, copy=False)
            bad = int(np.count_nonzero(~np.isfinite(values)))
            if bad:
                problems.append(f"{name!r}: {bad} of {values.size} values are NaN or infinite")
    for node in _nodes(graph):
        scale = constants.get(node.input[1]) if len(node.input) > 1 else None
        if node.op_type in QUANTIZING and scale is not None:
            values = numpy_helper.to_array(scale).astype(np.float64)
            low = float(values.min()) if values.size else math.inf
            if low <= 0:
                problems.append(f"{node.input[1]!r}: a scale of {low:g}, expected above 0")
    return list(dict.fromkeys(problems))


def claim_problem(graph: onnx.GraphProto, precision: str) -> str | None:
    """Return how a graph contradicts the precision it is said to have, None where it does not.

    Args:
        graph: of a bundle.
        precision: "int8", "fp16" or "fp32", as the manifest says.
    """
    if not graph.node:
        # No graph at all, which the runtime says better.
        return None
    integer = any(node.op_type in (*QUANTIZING, *INTEGER_OPERATORS) for node in _nodes(graph))
    half = any(tensor.data_type == TensorProto.FLOAT16 for _, tensor in _constants(graph))
    if precision == "int8" and not integer:
        return "its manifest says int8, but no layer of its graph is quantized"
    # Q/DQ alone round activations; a layer runs in INT8 where it reads a DequantizeLinear.
    if precision != "int8" and integer and _runs_in_integers(graph):
        return f"its manifest says {precision}, but its graph is quantized to INT8"
    if precision == "fp16" and not half:
        return "its manifest says fp16, but its graph has no FP16 weight"
    if precision == "fp32" and half:
        return "its manifest says fp32, but its graph has FP16 weights"
    return None


def check_constants(path: Path, model: onnx.ModelProto, precision: str) -> None:
    """Refuse a bundle's graph that cannot give right labels, or is not what its manifest says.

    Args:
        path: of the file, for messages.
        model: what it holds.
        precision: as the manifest says.

    Raises:
        BundleError: a constant is impossible, or the graph has another precision.
    """
    problems = constant_problems(model.graph)
    claim = claim_problem(model.graph, precision)
    if claim is not None:
        problems.append(claim)
    if problems:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise BundleError(
            f"{path}: {problems[0]}{more}; export it again from a sound checkpoint with "
            "edgeseg export"
        )


def _runs_in_integers(graph: onnx.GraphProto) -> bool:
    nodes = list(_nodes(graph))
    restored = {n.output[0] for n in nodes if n.op_type == "DequantizeLinear" and n.output}
    return any(
        node.op_type in INTEGER_OPERATORS
        or (node.op_type in WEIGHTED and bool(node.input) and node.input[0] in restored)
        for node in nodes
    )


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _nodes(inner)


def _constants(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in graph.initializer:
        yield tensor.name, tensor
    for node in _nodes(graph):
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.HasField("t"):
                yield node.output[0], attribute.t
            elif node.op_type == "Constant" and attribute.name in ("value_float", "value_floats"):
                values = np.array([attribute.f, *attribute.floats], np.float32)
                yield node.output[0], numpy_helper.from_array(values)
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from ((tensor.name, tensor) for tensor in inner.initializer)
