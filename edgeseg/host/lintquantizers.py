"""Lint rules on Q/DQ nodes: what TensorRT refuses, and what costs a fusion.

Source: TensorRT documentation, "Explicit Quantization: Q/DQ Layer-Placement Recommendations";
NvInfer.h, IQuantizeLayer and IDequantizeLayer; the threads named at the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgeseg.core.graphview import GraphView, attributes, node_name
from edgeseg.host.finding import Finding, Rule, found
from edgeseg.host.tensorrtlines import Line

QDQ = ("QuantizeLinear", "DequantizeLinear")
CONVOLUTIONS = ("Conv", "ConvTranspose")
QAT = "quantise with edgeseg qat, or export --int8 --calibrate"
# Operators that only move values, on the way from a pooled tensor to its comparison.
MOVES = frozenset({"Resize", "Slice", "Sub", "Cast", "Identity"})


def scales(view: GraphView, line: Line) -> Iterator[Finding]:
    """Scales that are not positive constants, or not one number for an activation."""
    for node in _quantizers(view):
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
                "quantise activations per tensor, weights per channel",
            )  # fmt: skip
        if scale is not None and scale.dtype == np.float16 and not line.half_scales:
            yield found(
                "half-scale", "error", node, f"its scale is FP16, which {line.name} does not read",
                "build model.onnx here; the form with FP16 islands is for TensorRT 11",
            )  # fmt: skip


def zero_points(view: GraphView, line: Line) -> Iterator[Finding]:
    """Zero-points other than int8 zero: TensorRT quantises symmetrically."""
    for node in _quantizers(view):
        zero = view.constants.get(node.input[2]) if len(node.input) > 2 else None
        if len(node.input) < 3 or not node.input[2]:
            yield found(
                "zero-point", "error", node, "it has no zero-point, which in ONNX means uint8",
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
                "quantise to int8, and leave biases in float",
            )  # fmt: skip
        elif zero.any():
            yield found(
                "zero-point", "error", node, "its zero-point is not 0",
                "quantise symmetrically: range -128 to 127 around 0",
            )  # fmt: skip
        elif node.input[1] in view.constants and zero.size != view.constants[node.input[1]].size:
            yield found(
                "zero-point", "error", node,
                f"it has {zero.size} zero-points for {view.constants[node.input[1]].size} scales",
                "give one zero for each scale",
            )  # fmt: skip


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
            # TensorRT #2380 asks for axis 0, ONNX Runtime's quantiser writes axis 1.
            yield found(
                "transposed-axis", "warning", node,
                f"a transposed convolution has {scale.size} weight scales along axis {axis}; "
                "runtimes disagree on which axis holds its output channels",
                "give it one scale",
            )  # fmt: skip
        elif axis != 0:
            yield found(
                "weight-axis", "error", node,
                f"its weight's scales run along axis {axis}; output channels are axis 0",
                "quantise the weight per output channel",
            )  # fmt: skip


def biases(view: GraphView, line: Line) -> Iterator[Finding]:
    """Biases through DequantizeLinear (NVIDIA/TensorRT #3360, onnx-tensorrt #850)."""
    for node in view.nodes:
        if node.op_type in CONVOLUTIONS and len(node.input) > 2:
            source = view.source(node.input[2])
            if source is not None and source.op_type == "DequantizeLinear":
                yield found(
                    "quantized-bias", "error", node,
                    "its bias is dequantised: 'only activation types allowed as input to this "
                    "layer'",
                    "keep biases in float; ONNX Runtime's quantiser needs QuantizeBias=False",
                )  # fmt: skip


def missing_inputs(view: GraphView, line: Line) -> Iterator[Finding]:
    """Convolutions of a quantised graph that read floats."""
    if not any(True for _ in _quantizers(view)):
        return
    for node in view.nodes:
        if node.op_type not in CONVOLUTIONS:
            continue
        data = view.dequantized(node.input[0]) is not None
        source = view.source(node.input[1])
        weight = source is not None and source.op_type == "DequantizeLinear"
        if data and weight:
            continue
        if is_head(view, node):
            yield found(
                "float-head", "info", node,
                "the last convolution computes in float, which keeps logits apart that INT8 would "
                "make equal",
                "nothing to do",
            )  # fmt: skip
            continue
        lacking = " and ".join(["input"] * (not data) + ["weight"] * (not weight))
        yield found(
            "missing-pair", "warning", node,
            f"its {lacking} has no Q/DQ pair, so it runs in float between INT8 layers",
            f"quantise both inputs of every convolution; {QAT}",
        )  # fmt: skip


def doubled_pairs(view: GraphView, line: Line) -> Iterator[Finding]:
    """A residual add that reads a pair behind its own convolution, or no pair at all."""
    for node in view.nodes:
        if node.op_type != "Add" or len(view.data_inputs(node)) != 2:
            continue
        sources = [view.source(name) for name in node.input]
        pairs = [s for s in sources if s is not None and s.op_type == "DequantizeLinear"]
        own = [p for p in pairs if _private_convolution(view, p)]
        bare = [s for s in sources if s is not None and s.op_type in CONVOLUTIONS]
        if len(pairs) == 2 and own:
            yield found(
                "doubled-pair", "warning", own[0],
                f"the convolution's result is quantised before {node_name(node)} adds it; that "
                "splits convolution and add into two kernels",
                "quantise the skip input only",
            )  # fmt: skip
        elif bare and not pairs and _quantized_conv(view, bare[0]):
            yield found(
                "float-skip", "warning", node,
                "its skip input has no Q/DQ pair, so the sum is written and read in float",
                "put one pair on the operand that is not the convolution's own result",
            )  # fmt: skip


def repeated_pairs(view: GraphView, line: Line) -> Iterator[Finding]:
    """A pair straight after another: a second rounding where the scales differ."""
    for node in view.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        source = view.source(node.input[0])
        if source is None or source.op_type != "DequantizeLinear":
            continue
        first, second = (_scale(view, n) for n in (source, node))
        if first != second:
            yield found(
                "requantized", "warning", node,
                f"the tensor already has scale {first}; this pair rounds it again to {second}",
                "share one scale between the pairs",
            )  # fmt: skip


def concats(view: GraphView, line: Line) -> Iterator[Finding]:
    """Concatenations whose inputs have different scales, or of which some have none."""
    for node in view.nodes:
        if node.op_type != "Concat":
            continue
        sources = [view.dequantized(name) for name in view.data_inputs(node)]
        given = [s for s in sources if s is not None]
        if not given:
            continue
        values = {_scale(view, s) for s in given}
        values |= {
            _scale(view, r) for r in view.readers[node.output[0]] if r.op_type == "QuantizeLinear"
        }
        if len(given) < len(sources):
            yield found(
                "concat-scale", "warning", node,
                f"{len(sources) - len(given)} of {len(sources)} inputs have no Q/DQ pair, so the "
                "concatenation runs in float",
                "give every input a pair with one scale",
            )  # fmt: skip
        elif len(values) > 1:
            yield found(
                "concat-scale", "warning", node,
                f"{len(values)} different scales meet here; each input is copied to a common one",
                "let its inputs and its result share one scale",
            )  # fmt: skip


def resizes(view: GraphView, line: Line) -> Iterator[Finding]:
    """A pair straight before an interpolation (NVIDIA/TensorRT #2976)."""
    for node in view.nodes:
        if node.op_type != "Resize" or attributes(node).get("mode") != "linear":
            continue
        source = view.source(node.input[0])
        if source is not None and source.op_type == "DequantizeLinear":
            yield found(
                "resize-pair", "warning", node,
                f"it interpolates what {node_name(source)} has rounded, and runs in float anyhow",
                "put the pair after the resize",
            )  # fmt: skip


def pads(view: GraphView, line: Line) -> Iterator[Finding]:
    """A pair between Pad and its convolution (NVIDIA/TensorRT #2592)."""
    for node in view.nodes:
        if node.op_type not in CONVOLUTIONS:
            continue
        source = view.source(node.input[0], frozenset(QDQ))
        if source is not None and source.op_type == "Pad" and source.output[0] != node.input[0]:
            yield found(
                "pad-pair", "warning", node,
                f"a pair stands between {node_name(source)} and it, so the padding becomes a layer",
                "pad inside the convolution, or put the pair before the Pad",
            )  # fmt: skip


def unpooling(view: GraphView, line: Line) -> Iterator[Finding]:
    """Un-pooling that needs bit-equal floats, or requantises between pool and comparison."""
    quantised = any(True for _ in _quantizers(view))
    for node in view.nodes:
        if node.op_type not in ("Equal", "Greater", "GreaterOrEqual", "Less"):
            continue
        for name, other in zip(node.input[:2], reversed(node.input[:2]), strict=True):
            source = view.source(name, MOVES)
            # Walking back through a pair means that something was rounded on the way.
            through = view.source(name, MOVES | set(QDQ))
            if through is None or through.op_type != "MaxPool" or other in view.constants:
                continue
            if source is None or source.op_type != "MaxPool":
                yield found(
                    "unpool-pair", "error", node,
                    "a Q/DQ pair stands between the max pooling and the comparison that finds its "
                    "maxima; rounded values are found no more",
                    "quantise the encoder's result once, before the pooling",
                )  # fmt: skip
            elif quantised and node.op_type == "Equal" and through.input[0] == other:
                yield found(
                    "unpool-equal", "warning", node,
                    "it looks for bit-equal floats; a runtime may hold one side in FP16 and the "
                    "other in FP32",
                    "export with edgeseg, which compares with half a step to spare",
                )  # fmt: skip


def fp32_islands(view: GraphView, line: Line) -> Iterator[Finding]:
    """Float parts of an INT8 graph that a strongly typed engine would run in FP32."""
    if not line.strongly_typed or not any(True for _ in _quantizers(view)):
        return
    islands = [
        node_name(node)
        for node, before in view.walk_from_inputs()
        if not before
        and node.op_type not in (*QDQ, "Cast", "ArgMax")
        and any(view.type_of(name) == "FP32" for name in node.output)
        and view.data_inputs(node)
    ]
    if islands:
        yield found(
            "fp32-islands", "warning", None,
            f"{len(islands)} nodes behind the first quantiser are typed FP32, {islands[0]} first; "
            f"{line.name} has no FP16 flag and runs them as they are typed",
            "give the bundle: its form with FP16 islands is what `edgeseg build` builds there",
        )  # fmt: skip


def is_head(view: GraphView, node: onnx.NodeProto) -> bool:
    """Tell whether no other convolution or quantiser follows a convolution."""
    pending = list(node.output)
    while pending:
        for reader in view.readers[pending.pop()]:
            if reader.op_type in (*CONVOLUTIONS, "QuantizeLinear", "MatMul", "Gemm"):
                return False
            pending.extend(reader.output)
    return True


def _quantizers(view: GraphView) -> Iterator[onnx.NodeProto]:
    return (node for node in view.nodes if node.op_type in QDQ)


def _is_weight(view: GraphView, node: onnx.NodeProto) -> bool:
    source = view.source(node.input[0], frozenset(QDQ))
    return source is None and not (set(view.inputs) & _roots(view, node))


def _roots(view: GraphView, node: onnx.NodeProto) -> set[str]:
    name = node.input[0]
    while name in view.producers:
        name = view.producers[name].input[0]
    return {name}


def _scale(view: GraphView, node: onnx.NodeProto) -> float | str:
    """A quantiser's scale rounded to FP16, in which both forms of a bundle agree."""
    value = view.constants.get(node.input[1])
    return node.input[1] if value is None else float(np.float16(value.flatten()[0]))


def _private_convolution(view: GraphView, dequantize: onnx.NodeProto) -> bool:
    """Whether the pair serves one convolution's result and one reader only."""
    quantize = view.source(dequantize.input[0])
    if quantize is None or quantize.op_type != "QuantizeLinear":
        return False
    conv = view.source(quantize.input[0])
    links = (dequantize.output[0], dequantize.input[0], quantize.input[0])
    return (
        conv is not None
        and conv.op_type in CONVOLUTIONS
        and all(len(view.readers[name]) == 1 for name in links)
    )


def _quantized_conv(view: GraphView, conv: onnx.NodeProto) -> bool:
    return view.dequantized(conv.input[0]) is not None


QUANTIZER_RULES: tuple[Rule, ...] = (
    scales,
    zero_points,
    integer_readers,
    weight_axis,
    biases,
    missing_inputs,
    doubled_pairs,
    repeated_pairs,
    concats,
    resizes,
    pads,
    unpooling,
    fp32_islands,
)
