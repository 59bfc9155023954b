"""What ONNX Runtime computes in: read from the graph that it made of the file."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import onnx
    import onnxruntime as ort

# Parts of the names of operators that multiply weights, in ONNX and in ONNX Runtime's own domains:
# QLinearConv, FusedConv, ConvInteger, MatMulIntegerToFloat, QGemm.
WEIGHTED = ("Conv", "MatMul", "Gemm")
INTEGER = ("QLinear", "Integer", "QGemm", "Quantize", "NBits")
UNKNOWN = "unknown"
# Weights above this go to a second file, which is not read.
LARGE_BYTES = "1024"


def precision_of(kernels: Mapping[str, int]) -> str:
    """Return the arithmetic of the counted layers, e.g. "int8+f32"; "unknown" where none is."""
    floats = sorted(name for name in kernels if name != "int8")
    return "+".join((["int8"] if "int8" in kernels else []) + floats) or UNKNOWN


def open_onnxruntime(
    graph: str | bytes, options: ort.SessionOptions
) -> tuple[ort.InferenceSession, dict[str, int]]:
    """Open a session on the CPU and count its convolutions and matrix products by arithmetic.

    ONNX Runtime writes the graph that it runs, after its fusions, into a temporary folder.

    Args:
        graph: an ONNX file's path or bytes.
        options: of the session; the place of the written graph is set here.

    Returns:
        The session, and the number of such layers by "int8", "f32" or "f16"; empty where there is
        none or the graph could not be written.

    Raises:
        Exception: the runtime refuses the graph; its error classes share no base of their own.
    """
    import onnxruntime as ort

    def session() -> ort.InferenceSession:
        return ort.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def keep(key: str, value: str) -> None:
        options.add_session_config_entry(f"session.optimized_model_external_initializers_{key}",
                                         value)  # fmt: skip

    try:
        with tempfile.TemporaryDirectory(prefix="edgeseg-graph-") as folder:
            options.optimized_model_filepath = str(Path(folder) / "graph.onnx")
            keep("file_name", "weights")
            keep("min_size_in_bytes", LARGE_BYTES)
            return session(), _counted(Path(options.optimized_model_filepath))
    except Exception:
        # A full or read-only temporary folder must not keep a graph from running; a graph that is
        # refused is refused again.
        options.optimized_model_filepath = ""
        return session(), {}


def _counted(path: Path) -> dict[str, int]:
    import onnx

    graph = onnx.load(path, load_external_data=False).graph
    types = {tensor.name: tensor.data_type for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.name == "to":
                types[node.output[0]] = attribute.i
    found = Counter(
        _arithmetic(node, types)
        for node in graph.node
        if any(part in node.op_type for part in WEIGHTED)
    )
    return dict(found)


def _arithmetic(node: onnx.NodeProto, types: Mapping[str, int]) -> str:
    from onnx import TensorProto

    if any(part in node.op_type for part in INTEGER):
        return "int8"
    names: dict[int, str] = {
        TensorProto.FLOAT16: "f16",
        TensorProto.BFLOAT16: "bf16",
        TensorProto.DOUBLE: "f64",
    }
    weight = node.input[1] if len(node.input) > 1 else ""
    return names.get(int(types.get(weight, TensorProto.FLOAT)), "f32")
