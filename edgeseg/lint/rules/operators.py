"""Lint rules on operators and types: what a TensorRT line's parser refuses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgeseg.core.graph.unpool_plugin import DOMAIN as PLUGIN_DOMAIN
from edgeseg.core.graph.view import FLOATS, GraphView
from edgeseg.lint.finding import Finding, Remark, found, remarks
from edgeseg.lint.tensorrt_versions import (
    CONSTANT_INPUTS,
    LINES,
    OLDEST,
    OPERATORS,
    REFUSED,
    SINCE,
    Line,
    allowed_types,
    untabled_types,
)

# Inputs after these are shapes, scales and the like, with types of their own.
DATA_INPUTS = {
    **dict.fromkeys(CONSTANT_INPUTS, 1),
    "Clip": 1, "Dropout": 1, "Expand": 1, "GRU": 3, "Gather": 1, "GatherElements": 1, "GatherND": 1,
    "LSTM": 3, "NonMaxSuppression": 2, "OneHot": 0, "RNN": 3, "Reshape": 1, "Resize": 1,
    "RoiAlign": 2, "Scan": 0, "Scatter": 1, "Split": 1, "Tile": 1, "TopK": 1, "Where": 3,
    "QuantizeLinear": 1, "DequantizeLinear": 1, "ScatterND": 1, "ScatterElements": 1,
    "ConstantOfShape": 0, "Shape": 0, "Constant": 0,
}  # fmt: skip
SAME_TYPE = frozenset(
    {
        "Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Equal", "Greater", "GreaterOrEqual",
        "Less", "LessOrEqual", "Concat", "Conv", "ConvTranspose", "Gemm", "MatMul", "PRelu",
    }
)  # fmt: skip
ORDER = tuple(LINES)
# The one line without the plugin's interface.
NO_PLUGIN = OLDEST


@remarks(
    Remark(
        "operator",
        "error, info",
        "the parser has no importer for it: `MaxUnpool`, `QLinearConv`, or one that came "
        "later than this line. An operator of edgeseg's un-pool plugin is an info",
    ),
)
def operators(view: GraphView, line: Line) -> Iterator[Finding]:
    """Operators that the line does not read at all."""
    told = False
    for node in view.nodes:
        if node.domain == PLUGIN_DOMAIN:
            if not told:
                yield _own_plugin(node, line)
            told = True
        elif node.domain not in ("", "ai.onnx"):
            yield found(
                "operator", "error", node, f"{node.domain}.{node.op_type} is no ONNX operator",
                "replace it, or register a plugin of that name on the board",
            )  # fmt: skip
        elif node.op_type in SINCE and ORDER.index(line.name) < ORDER.index(SINCE[node.op_type]):
            yield found(
                "operator", "error", node, f"{node.op_type} is read from {SINCE[node.op_type]} on",
                "write it with older operators",
            )  # fmt: skip
        elif node.op_type not in OPERATORS:
            cure = REFUSED.get(node.op_type, "write it with operators that TensorRT reads")
            yield found(
                "operator", "error", node,
                f"{node.op_type} is not in TensorRT's operator table", cure,
            )  # fmt: skip


@remarks(
    Remark(
        "type",
        "error, warning",
        "an operator computes in the types of its table row only. Doubles become FP32: a warning, "
        "as where a parser takes a type beyond its table",
    ),
)
def types(view: GraphView, line: Line) -> Iterator[Finding]:
    """Element types that an operator does not compute in."""
    for node in view.nodes:
        allowed = allowed_types(node.op_type, line)
        if allowed is None or node.domain not in ("", "ai.onnx"):
            continue
        count = DATA_INPUTS.get(node.op_type, len(node.input))
        for name in node.input[:count]:
            kind = view.type_of(name) if name else "?"
            # uint8_border speaks of UINT8.
            if kind in allowed | {"?", "UINT8"}:
                continue
            listed = ", ".join(sorted(allowed - {"BF16"}))
            if kind == "FP64" and "FP32" in allowed:
                yield found(
                    "type", "warning", node,
                    f"{node.op_type} reads {name!r} as FP64, which TensorRT narrows to FP32",
                    "export in FP32, which is what runs",
                )  # fmt: skip
            elif kind in untabled_types(node.op_type, line):
                yield found(
                    "type", "warning", node,
                    f"{node.op_type} reads {name!r} as {kind}, which the parser takes though its "
                    f"table has {listed}; whether the builder has a kernel is not known",
                    "compute it in floats",
                )  # fmt: skip
            else:
                yield found(
                    "type", "error", node,
                    f"{node.op_type} reads {name!r} as {kind}; TensorRT has it in {listed}",
                    "cast it to FP32" if kind in FLOATS else "compute it in floats",
                )  # fmt: skip


@remarks(
    Remark(
        "uint8-border",
        "error",
        "UINT8 exists at inputs and outputs only, and converts from and to FP32 and FP16 "
        "only. Cast the frame before it is transposed; cast indices through float",
    ),
)
def uint8_border(view: GraphView, line: Line) -> Iterator[Finding]:
    """UINT8 away from the network's inputs and outputs, or cast from and to integers."""
    for name in set(view.inputs) & set(view.outputs):
        if view.type_of(name) == "UINT8":
            yield found(
                "uint8-border", "error", None,
                f"output {name!r} is the UINT8 input itself; TensorRT copies it by a layer that "
                "does not take UINT8",
                "leave the output out; the host has the frame",
            )  # fmt: skip
    for node in view.nodes:
        read = [name for name in node.input if view.type_of(name) == "UINT8"]
        made = [name for name in node.output if view.type_of(name) == "UINT8"]
        if not read and not made:
            continue
        if node.op_type != "Cast":
            # A quantizer's uint8 is zero_point's matter.
            if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
                yield found(
                    "uint8-border", "error", node,
                    f"{node.op_type} works on UINT8; TensorRT has UINT8 only as the network's "
                    "input and output",
                    "cast the input to float before anything else, and the output last",
                )  # fmt: skip
            continue
        other = view.type_of(node.output[0] if read else node.input[0])
        inside = [n for n in read if n not in view.inputs]
        inside += [n for n in made if n not in view.outputs]
        if inside:
            yield found(
                "uint8-border", "error", node,
                f"the UINT8 tensor {inside[0]!r} is inside the network; TensorRT has UINT8 only at "
                "its border",
                "keep the tensor in FP32 or FP16",
            )  # fmt: skip
        elif other not in ("FP32", "FP16"):
            yield found(
                "uint8-border", "error", node,
                f"it converts between UINT8 and {other}; TensorRT converts UINT8 from and to FP32 "
                "and FP16 only",
                "cast through FP32: ArgMax, Cast to FLOAT, Cast to UINT8",
            )  # fmt: skip


@remarks(
    Remark(
        "cast-chain",
        "warning",
        "two casts between floats: one is work for nothing, or loses bits",
    ),
)
def cast_chains(view: GraphView, line: Line) -> Iterator[Finding]:
    """Two casts between floats in a row: the first is work for nothing, or loses bits."""
    for node in view.nodes:
        source = view.source(node.input[0]) if node.op_type == "Cast" else None
        if source is None or source.op_type != "Cast":
            continue
        kinds = [view.type_of(n) for n in (source.input[0], node.input[0], node.output[0])]
        if set(kinds) <= FLOATS:
            yield found(
                "cast-chain", "warning", node, f"casts {' -> '.join(kinds)} in a row",
                "cast once, from the first type to the last",
            )  # fmt: skip


@remarks(
    Remark(
        "mixed-types",
        "error",
        "11.4 alone: every type comes from the graph; FP16 and FP32 operands do not meet, "
        "scales included",
    ),
)
def mixed_types(view: GraphView, line: Line) -> Iterator[Finding]:
    """Float operands of different types, which a strongly typed network refuses."""
    if not line.strongly_typed:
        return
    for node in view.nodes:
        names = list(node.input) if node.op_type in SAME_TYPE else []
        if node.op_type == "Where":
            names = list(node.input[1:])
        elif node.op_type == "QuantizeLinear":
            names = list(node.input[:2])
        kinds = {view.type_of(name) for name in names if name} & FLOATS
        if len(kinds) > 1:
            yield found(
                "mixed-types", "error", node,
                f"its operands are {' and '.join(sorted(kinds))}; TensorRT 11 takes every type "
                "from the graph and mixes none",
                "cast them to one type, scales included",
            )  # fmt: skip


def _own_plugin(node: onnx.NodeProto, line: Line) -> Finding:
    message = f"{node.op_type} is an operator of edgeseg's un-pool plugin"
    if line.name == NO_PLUGIN:
        cure = "export without --unpool plugin: this line has no IPluginV3, which it needs"
        return found("operator", "error", node, message, cure)
    cure = "build with --plugin, run with EDGESEG_PLUGIN (deploy/plugin)"
    return found("operator", "info", node, message, cure)


@remarks(
    Remark(
        "not-finite",
        "error",
        "weights, biases and ranges are finite numbers",
    ),
)
def finite(view: GraphView, line: Line) -> Iterator[Finding]:
    """Constants that are NaN or infinite: with one, every pixel may get class 0, silently."""
    for node in view.nodes:
        for name in node.input:
            values = view.constants.get(name)
            if values is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
                bad = int(np.count_nonzero(~np.isfinite(values)))
                yield found(
                    "not-finite", "error", node,
                    f"{bad} of {values.size} values of {name!r} are NaN or infinite",
                    "export again from a sound checkpoint",
                )  # fmt: skip
