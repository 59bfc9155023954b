"""Lint rules on Q/DQ nodes: what TensorRT refuses.

Source: TensorRT documentation, "Explicit Quantization: Q/DQ Layer-Placement Recommendations";
NvInfer.h, IQuantizeLayer and IDequantizeLayer; the threads named at the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgeseg.core.graph.view import GraphView, attributes, node_name
from edgeseg.lint.finding import Finding, Remark, found, remarks
from edgeseg.lint.tensorrt_versions import OLDEST, Line

QDQ = ("QuantizeLinear", "DequantizeLinear")
CONVOLUTIONS = ("Conv", "ConvTranspose")
# Keys that edgeseg writes into the metadata of what it exports.
OWN = "edgeseg."
QAT = "quantize with edgeseg qat, or export --int8 --calibrate"


@remarks(
    Remark(
        "scale",
        "error",
        "scales are positive constants, one or as many as the channels of their axis, not in "
        "blocks",
    ),
    Remark(
        "activation-axis",
        "error",
        "an activation has one scale",
    ),
    Remark(
        "half-scale",
        "error",
        "8.6 alone: FP16 scales need opset 19",
    ),
)
def scales(view: GraphView, line: Line) -> Iterator[Finding]:
    """Scales that are not positive constants, or not one number for an activation."""
    for node in quantizers(view):
        scale = view.constants.get(node.input[1])
        if scale is None:
            yield found(
                "scale", "error", node, "its scale is computed; it must be a constant", QAT
            )  # fmt: skip
        elif not (np.isfinite(scale).all() and (scale > 0).all()):
            yield found(
                "scale", "error", node, "a scale is not a positive number",
                "calibrate again on frames that reach this layer",
            )  # fmt: skip
        elif scale.size > 1 and not _is_weight(view, node):
            yield found(
                "activation-axis", "error", node,
                f"an activation has {scale.size} scales; TensorRT takes one",
                "quantize activations per tensor, weights per channel",
            )  # fmt: skip
        elif _misshapen(view, node, scale):
            yield found(
                "scale", "error", node, _misshapen(view, node, scale),
                "give one scale, or a vector of one for each channel along axis",
            )  # fmt: skip
        if scale is not None and scale.dtype == np.float16 and not line.half_scales:
            yield found(
                "half-scale", "error", node, f"its scale is FP16, which {line.name} does not read",
                "build model.onnx here; the form with FP16 islands is for TensorRT 11",
            )  # fmt: skip


@remarks(
    Remark(
        "zero-point",
        "error",
        "symmetric: int8, all 0, as many as scales. Without one QuantizeLinear makes uint8, and "
        "8.6 reads neither node",
    ),
)
def zero_points(view: GraphView, line: Line) -> Iterator[Finding]:
    """Zero-points other than int8 zero: TensorRT quantizes symmetrically."""
    for node in quantizers(view):
        zero = view.constants.get(node.input[2]) if len(node.input) > 2 else None
        if len(node.input) < 3 or not node.input[2]:
            # A DequantizeLinear has the type of its input, and opset 21 can name the type.
            int8 = view.type_of(
                node.output[0] if node.op_type == "QuantizeLinear" else node.input[0]
            )
            if int8 != "INT8" or line.name == OLDEST:
                yield found(
                    "zero-point", "error", node,
                    "it has no zero-point, which this line does not read" if int8 == "INT8"
                    else "it has no zero-point, which in ONNX means uint8",
                    "give an int8 zero of the scale's shape",
                )  # fmt: skip
        elif zero is None:
            yield found(
                "zero-point", "error", node, "its zero-point is computed", "make it a constant zero"
            )
        elif zero.dtype != np.int8:
            yield found(
                "zero-point", "error", node,
                f"its zero-point is {zero.dtype}; TensorRT reads int8",
                "quantize to int8, and leave biases in float",
            )  # fmt: skip
        elif zero.any():
            yield found(
                "zero-point", "error", node, "its zero-point is not 0",
                "quantize symmetrically: range -128 to 127 around 0",
            )  # fmt: skip
        elif node.input[1] in view.constants and zero.size != view.constants[node.input[1]].size:
            yield found(
                "zero-point", "error", node,
                f"it has {zero.size} zero-points for {view.constants[node.input[1]].size} scales",
                "give one zero for each scale",
            )  # fmt: skip


@remarks(
    Remark(
        "int8-weights",
        "error, info",
        "8.6 alone: INT8 weights with a lone DequantizeLinear are a feature of TensorRT 10. An "
        "info for a graph of edgeseg, which `edgeseg build` gives float weights there",
    ),
)
def int8_weights(view: GraphView, line: Line) -> Iterator[Finding]:
    """Weights stored as int8, which TensorRT reads from 10 on; one finding for the graph."""
    if line.name != OLDEST:
        return
    nodes = [
        node
        for node in view.nodes
        if node.op_type == "DequantizeLinear"
        and view.type_of(node.input[0]) == "INT8"
        and view.constant(node.input[0]) is not None
    ]
    if not nodes:
        return
    told = f"{len(nodes)} weights are int8 constants, that of {node_name(nodes[0])} first"
    if any(entry.key.startswith(OWN) for entry in view.model.metadata_props):
        yield found(
            "int8-weights", "info", None,
            f"{told}; this line's TensorRT does not take them",
            "nothing to do: edgeseg build carries them as float weights with Q/DQ pairs there; "
            "trtexec on model.onnx would not",
        )  # fmt: skip
    else:
        yield found(
            "int8-weights", "error", None,
            f"{told}; this line does not support INT8 weights ('invalid weights type of Int8')",
            "store float weights and quantize them in the graph: weight -> QuantizeLinear -> "
            "DequantizeLinear",
        )  # fmt: skip


@remarks(
    Remark(
        "quantize-alone",
        "error",
        "INT8 is reached through pairs: what reads a quantizer is a dequantizer",
    ),
)
def integer_readers(view: GraphView, line: Line) -> Iterator[Finding]:
    """QuantizeLinear whose result goes anywhere but to DequantizeLinear."""
    for node in view.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        for reader in view.readers[node.output[0]]:
            if reader.op_type != "DequantizeLinear":
                yield found(
                    "quantize-alone", "error", reader,
                    f"{reader.op_type} reads the int8 of {node_name(node)} itself",
                    "put a DequantizeLinear in front of it; TensorRT fuses the pair",
                )  # fmt: skip


@remarks(
    Remark(
        "transposed-axis",
        "warning",
        "runtimes disagree on the axis of a transposed convolution's scales, so its "
        "weight has one scale",
    ),
    Remark(
        "weight-axis",
        "error",
        "weight scales run over output channels, axis 0",
    ),
)
def weight_axis(view: GraphView, line: Line) -> Iterator[Finding]:
    """Weights whose scales do not run over the output channels."""
    for node in view.nodes:
        if node.op_type not in CONVOLUTIONS:
            continue
        source = view.source(node.input[1])
        if source is None or source.op_type != "DequantizeLinear":
            continue
        scale = view.constants.get(source.input[1])
        if scale is None or scale.size == 1:
            continue
        axis = attributes(source).get("axis", 1)
        if node.op_type == "ConvTranspose":
            # TensorRT #2380 asks for axis 0, ONNX Runtime's quantizer writes axis 1.
            yield found(
                "transposed-axis", "warning", node,
                f"a transposed convolution has {scale.size} weight scales along axis {axis}; "
                "runtimes disagree on which axis holds its output channels",
                "give it one scale",
            )  # fmt: skip
        elif axis not in (0, -len(view.shape_of(node.input[1]) or ())):
            yield found(
                "weight-axis", "error", node,
                f"its weight's scales run along axis {axis}; output channels are axis 0",
                "quantize the weight per output channel",
            )  # fmt: skip


@remarks(
    Remark(
        "quantized-bias",
        "error",
        '"only activation types allowed as input to this layer" (NVIDIA/TensorRT #3360)',
    ),
)
def biases(view: GraphView, line: Line) -> Iterator[Finding]:
    """Biases through DequantizeLinear (NVIDIA/TensorRT #3360, onnx-tensorrt #850)."""
    for node in view.nodes:
        if node.op_type in CONVOLUTIONS and len(node.input) > 2:
            source = view.source(node.input[2])
            if source is not None and source.op_type == "DequantizeLinear":
                yield found(
                    "quantized-bias", "error", node,
                    "its bias is dequantized: 'only activation types allowed as input to this "
                    "layer'",
                    "keep biases in float; ONNX Runtime's quantizer needs QuantizeBias=False",
                )  # fmt: skip


def _misshapen(view: GraphView, node: onnx.NodeProto, scale: np.ndarray) -> str:
    """Say what is wrong with the number of scales or their axes, empty for nothing."""
    shape, axis = view.shape_of(node.input[0]), attributes(node).get("axis", 1)
    if attributes(node).get("block_size", 0):
        return "its scales are for blocks of values; TensorRT has such scales for INT4 alone"
    if scale.ndim > 1:
        return f"its scales are of {scale.ndim} axes; TensorRT takes one scale or a vector"
    if scale.size == 1 or shape is None or not -len(shape) <= axis < len(shape):
        return ""
    if scale.size != shape[axis]:
        return f"it has {scale.size} scales for the {shape[axis]} channels of axis {axis}"
    return ""


def quantizers(view: GraphView) -> Iterator[onnx.NodeProto]:
    """Yield every QuantizeLinear and DequantizeLinear."""
    return (node for node in view.nodes if node.op_type in QDQ)


def _is_weight(view: GraphView, node: onnx.NodeProto) -> bool:
    source = view.source(node.input[0], frozenset(QDQ))
    return source is None and not (set(view.inputs) & _roots(view, node))


def _roots(view: GraphView, node: onnx.NodeProto) -> set[str]:
    name = node.input[0]
    while name in view.producers:
        name = view.producers[name].input[0]
    return {name}
