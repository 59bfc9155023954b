"""Counts a graph's parameters, multiply-accumulates and share of INT8 layers."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.core.bundle import Bundle
from edgeseg.core.packages import is_installed

if TYPE_CHECKING:
    import onnx

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
CONVOLUTIONS = ("Conv", "ConvTranspose")
# A value passes through these unchanged.
COPIES = ("DequantizeLinear", "Cast", "Transpose", "Reshape", "Identity")


def bundle_cost(bundle: Bundle) -> dict[str, int | float]:
    """Return the figures of Report.cost; without the onnx package only the sizes on disk."""
    found: dict[str, int | float] = {
        "bundle_bytes": bundle.size_bytes,
        "onnx_bytes": bundle.onnx_path.stat().st_size,
    }
    if is_installed("onnx"):
        from edgeseg.core.graph.load import bundle_graph

        found.update(model_cost(bundle_graph(bundle)))
    return found


def graph_cost(path: Path) -> dict[str, int | float]:
    """Count weights and biases, MACs of one frame, and the share of convolutions fed by Q/DQ.

    MACs are those of convolutions and matrix products; a 1x1 convolution over h x w pixels from
    c to d channels has h*w*c*d.
    """
    import onnx

    return model_cost(onnx.load(path))


def model_cost(model: onnx.ModelProto) -> dict[str, int | float]:
    """Count the same of a model in memory."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model).graph
    sizes = {item.name: tuple(item.dims) for item in graph.initializer}
    makers = {output: node for node in graph.node for output in node.output}
    shapes = {
        value.name: tuple(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in (*graph.value_info, *graph.input, *graph.output)
    }
    params = macs = convs = int8 = 0
    for node in graph.node:
        if node.op_type not in WEIGHTED:
            continue
        stored = [_stored(name, sizes, makers) for name in node.input]
        weight = stored[1]
        if weight is None:
            continue
        params += sum(math.prod(shape) for shape in stored[1:] if shape is not None)
        output = shapes.get(node.output[0], ())
        if node.op_type == "ConvTranspose":
            macs += math.prod(shapes.get(node.input[0], ())) * math.prod(weight[1:])
        elif node.op_type == "Conv":
            macs += math.prod(output) * math.prod(weight[1:])
        else:
            macs += math.prod(output) * (math.prod(weight) // max(1, output[-1]) if output else 0)
        if node.op_type in CONVOLUTIONS:
            convs += 1
            int8 += all(_dequantized(name, makers) for name in node.input[:2])
    found: dict[str, int | float] = {"params": params, "macs": macs}
    if convs:
        found["int8_conv_share"] = int8 / convs
    return found


def _stored(
    name: str, sizes: dict[str, tuple[int, ...]], makers: dict[str, onnx.NodeProto]
) -> tuple[int, ...] | None:
    """Return the shape of the initializer behind a value, None where it is computed."""
    while name not in sizes:
        node = makers.get(name)
        if node is None or node.op_type not in COPIES:
            return None
        name = node.input[0]
    return sizes[name]


def _dequantized(name: str, makers: dict[str, onnx.NodeProto]) -> bool:
    node = makers.get(name)
    return node is not None and node.op_type == "DequantizeLinear"
