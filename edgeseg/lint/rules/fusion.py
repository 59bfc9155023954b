"""Lint rules on Q/DQ nodes: what TensorRT builds, but with a fusion less or in float.

Source: TensorRT documentation, "Explicit Quantization: Q/DQ Layer-Placement Recommendations"; the
threads named at the rules.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgeseg.core.graph.view import GraphView, attributes, node_name
from edgeseg.lint.finding import Finding, Remark, found, remarks
from edgeseg.lint.rules.quantizers import CONVOLUTIONS, QAT, QDQ, quantizers
from edgeseg.lint.tensorrt_versions import Line

# Operators that only move values, on the way from a pooled tensor to its comparison.
MOVES = frozenset({"Resize", "Slice", "Sub", "Cast", "Identity"})


@remarks(
    Remark(
        "batch-norm",
        "warning",
        "left between convolution and quantizer, it keeps them from fusing",
    ),
)
def batch_norm(view: GraphView, line: Line) -> Iterator[Finding]:
    """Batch normalization that was not folded into its convolution."""
    for node in view.nodes:
        if node.op_type == "BatchNormalization":
            yield found(
                "batch-norm", "warning", node,
                "it stands between a convolution and its quantizer, which breaks their fusion",
                "fold it before quantization; edgeseg export does",
            )  # fmt: skip


@remarks(
    Remark(
        "float-head",
        "info",
        "the last convolution is float on purpose: INT8 would make logits equal",
    ),
    Remark(
        "missing-pair",
        "warning",
        "a convolution with one quantized input runs in float, with a conversion on each side",
    ),
)
def missing_inputs(view: GraphView, line: Line) -> Iterator[Finding]:
    """Convolutions of a quantized graph that read floats."""
    if not any(True for _ in quantizers(view)):
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
            f"quantize both inputs of every convolution; {QAT}",
        )  # fmt: skip


@remarks(
    Remark(
        "doubled-pair",
        "warning",
        "quantize a residual's skip input and nothing else, or convolution and add become "
        "two kernels",
    ),
    Remark(
        "float-skip",
        "warning",
        "a residual's skip input without a pair makes convolution and add two kernels",
    ),
)
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
                f"the convolution's result is quantized before {node_name(node)} adds it; that "
                "splits convolution and add into two kernels",
                "quantize the skip input only",
            )  # fmt: skip
        elif bare and not pairs and _quantized_conv(view, bare[0]):
            yield found(
                "float-skip", "warning", node,
                "its skip input has no Q/DQ pair, so the sum is written and read in float",
                "put one pair on the operand that is not the convolution's own result",
            )  # fmt: skip


@remarks(
    Remark(
        "requantized",
        "warning",
        "two pairs in a row with different scales round twice",
    ),
)
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


@remarks(
    Remark(
        "concat-scale",
        "warning",
        "one scale over all inputs and the result lets them be written in place",
    ),
)
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


@remarks(
    Remark(
        "resize-pair",
        "warning",
        "an interpolation is float anyhow; the pair belongs after it (#2976)",
    ),
)
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


@remarks(
    Remark(
        "pad-pair",
        "warning",
        "a pair between Pad and convolution makes the padding a layer (#2592)",
    ),
)
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


@remarks(
    Remark(
        "unpool-pair",
        "error",
        "rounding between max pooling and the comparison loses the maxima",
    ),
    Remark(
        "unpool-equal",
        "warning",
        "two branches compared for bit-equality may be held in different float types",
    ),
)
def unpooling(view: GraphView, line: Line) -> Iterator[Finding]:
    """Un-pooling that needs bit-equal floats, or requantizes between pool and comparison."""
    quantized = any(True for _ in quantizers(view))
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
                    "quantize the encoder's result once, before the pooling",
                )  # fmt: skip
            elif quantized and node.op_type == "Equal" and through.input[0] == other:
                yield found(
                    "unpool-equal", "warning", node,
                    "it looks for bit-equal floats; a runtime may hold one side in FP16 and the "
                    "other in FP32",
                    "export with edgeseg, which compares with half a step to spare",
                )  # fmt: skip


@remarks(
    Remark(
        "fp32-islands",
        "warning",
        "11.4 alone: float parts typed FP32 run in FP32, at twice the bytes",
    ),
)
def fp32_islands(view: GraphView, line: Line) -> Iterator[Finding]:
    """Float parts of an INT8 graph that a strongly typed engine would run in FP32."""
    if not line.strongly_typed or not any(True for _ in quantizers(view)):
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
            f"{len(islands)} nodes behind the first quantizer are typed FP32, {islands[0]} first; "
            f"{line.name} has no FP16 flag and runs them as they are typed",
            "give the bundle: its form with FP16 islands is what `edgeseg build` builds there",
        )  # fmt: skip


def is_head(view: GraphView, node: onnx.NodeProto) -> bool:
    """Tell whether no other convolution or quantizer follows a convolution."""
    pending = list(node.output)
    while pending:
        for reader in view.readers[pending.pop()]:
            if reader.op_type in (*CONVOLUTIONS, "QuantizeLinear", "MatMul", "Gemm"):
                return False
            pending.extend(reader.output)
    return True


def _scale(view: GraphView, node: onnx.NodeProto) -> float | str:
    """A quantizer's scale rounded to FP16, in which both forms of a bundle agree."""
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
