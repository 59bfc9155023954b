"""Lint rules on layers that every TensorRT builds, and that are slow for what they compute."""

from __future__ import annotations

from collections.abc import Iterator

from edgeseg.core.graph.engine_edits import is_depthwise
from edgeseg.core.graph.float_convolutions import quantized_convolutions
from edgeseg.core.graph.view import GraphView, attributes
from edgeseg.lint.finding import Finding, Remark, found, remarks
from edgeseg.lint.tensorrt_versions import Line

RACE = "edgeseg build --race times both forms on the board"


@remarks(
    Remark(
        "depthwise",
        "info",
        "memory bounds a depthwise convolution, so INT8 may gain nothing over FP16 there (#2197, "
        "#4529); a dilated one in INT8 is a form of which no report was found",
    ),
)
def depthwise(view: GraphView, line: Line) -> Iterator[Finding]:
    """Depthwise convolutions in INT8: kernel, rate and channels of each."""
    for node in quantized_convolutions(view):
        if not is_depthwise(view, node):
            continue
        values = attributes(node)
        channels, _, *kernel = view.shape_of(node.input[1]) or (0, 0)
        rate = max(values.get("dilations", [1]))
        window = "x".join(map(str, kernel)) + (f" at rate {rate}" if rate > 1 else "")
        yield found(
            "depthwise", "info", node,
            f"depthwise, {window}, {channels} channels: bound by memory in INT8 as in FP16",
            f"nothing to do; {RACE}",
        )  # fmt: skip


@remarks(
    Remark(
        "label-head",
        "info",
        "ArgMax is TopK with INT32 indices and casts; users report 3 to 1354 ms for it "
        "(onnx-tensorrt #669, #671)",
    ),
)
def label_head(view: GraphView, line: Line) -> Iterator[Finding]:
    """ArgMax over the classes at full size."""
    for node in view.nodes:
        shape = view.shape_of(node.input[0]) if node.op_type == "ArgMax" else None
        if shape is not None and len(shape) == 4:
            yield found(
                "label-head", "info", node,
                f"ArgMax over {shape[1]} classes of {shape[2]}x{shape[3]} runs as TopK, which has "
                "been slow; its floor says little",
                RACE,
            )  # fmt: skip
