"""Lint rules on what a line's parser does not know yet: newer definitions, and wide integers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx

from edgeseg.core.graph.view import GraphView, attributes
from edgeseg.lint.finding import Finding, Remark, found, remarks
from edgeseg.lint.tensorrt_versions import AXES_AS_INPUT_SINCE_18, OLDEST, Line

INT32 = np.iinfo(np.int32)
# The oldest opset that was tried: 10.1 reads it without a word.
OLDEST_OPSET = 6


@remarks(
    Remark(
        "opset",
        "error, warning, info",
        "newer than the line promises. An error only where a node uses a definition that "
        "changed: 8.6 would reduce over every axis where opset 18 gives axes as an input. Older "
        "than promised is a warning down to the oldest that was tried",
    ),
)
def opset(view: GraphView, line: Line) -> Iterator[Finding]:
    """An operator set outside the line's range, where a node depends on it."""
    if view.opset < line.min_opset:
        tried = view.opset >= OLDEST_OPSET and line.name != OLDEST
        yield found(
            "opset", "warning" if tried else "error", None,
            f"opset {view.opset} is older than {line.min_opset}, the oldest that this line "
            "promises" + ("; its parser reads it" if tried else ""),
            "export with opset 18",
        )  # fmt: skip
    if view.opset <= line.max_opset:
        return
    newer = list(_newer_definitions(view, line))
    yield from newer
    if not newer:
        yield found(
            "opset", "info", None,
            f"opset {view.opset} is beyond {line.max_opset}, the newest that this line promises; "
            "no node uses a definition that changed in between",
            "nothing to do",
        )  # fmt: skip


def _newer_definitions(view: GraphView, line: Line) -> Iterator[Finding]:
    if line.max_opset >= 18:
        return
    older = f"this line reads opset {line.max_opset} and would not see it"
    for node in view.nodes:
        values = attributes(node)
        axes = node.op_type in AXES_AS_INPUT_SINCE_18 and any(node.input[1:])
        if axes:
            yield found(
                "opset", "error", node, f"{node.op_type} takes its axes as an input; {older}",
                "use GlobalAveragePool, or export with opset 17",
            )  # fmt: skip
        elif node.op_type == "Pad" and values.get("mode") == "wrap":
            yield found(
                "opset", "error", node, f"Pad wraps since opset 19; {older}",
                "write it with Slice and Concat",
            )  # fmt: skip
        elif node.op_type == "Split" and "num_outputs" in values and _uneven(view, node):
            yield found(
                "opset", "error", node, f"Split counts its outputs by an attribute; {older}",
                "give the sizes of the parts as an input",
            )  # fmt: skip
        elif node.op_type == "Pad" and any(node.input[3:]):
            yield found(
                "opset", "error", node, f"Pad takes axes as an input; {older}",
                "give pads for every axis",
            )  # fmt: skip


def _uneven(view: GraphView, node: onnx.NodeProto) -> bool:
    """Whether the parts of a Split differ, or are not known to be alike."""
    lengths = {view.shape_of(name) for name in node.output}
    return len(lengths) != 1 or None in lengths


@remarks(
    Remark(
        "empty-axes",
        "error",
        "8.6 alone: noop_with_empty_axes is not read, and every axis is reduced, silently",
    ),
)
def empty_axes(view: GraphView, line: Line) -> Iterator[Finding]:
    """Reductions that should do nothing for want of axes, which 8.6 does over all of them."""
    if line.name != OLDEST:
        return
    for node in view.nodes:
        values = attributes(node)
        if values.get("noop_with_empty_axes", 0) and "axes" not in values:
            axes = view.constant(node.input[1]) if any(node.input[1:]) else None
            if not any(node.input[1:]) or (axes is not None and not axes.size):
                yield found(
                    "empty-axes", "error", node,
                    f"{node.op_type} has no axes and noop_with_empty_axes=1, which this line does "
                    "not read: it reduces every axis",
                    "leave the node out",
                )  # fmt: skip


@remarks(
    Remark(
        "int64-range",
        "warning",
        "8.6 alone: INT64 constants beyond INT32 are clamped, with a message in the build's log",
    ),
)
def int64_range(view: GraphView, line: Line) -> Iterator[Finding]:
    """INT64 constants that INT32 cannot hold; not the ends of Slice, which mean "to the end"."""
    if line.name != OLDEST:
        return
    for node in view.nodes:
        for place, name in enumerate(node.input):
            values = view.constants.get(name)
            if values is None or values.dtype != np.int64 or not values.size:
                continue
            if node.op_type == "Slice" and place in (1, 2):
                continue
            if values.min() < INT32.min or values.max() > INT32.max:
                yield found(
                    "int64-range", "warning", node,
                    f"{name!r} holds values beyond INT32, which this line clamps",
                    "compute in floats, or within INT32",
                )  # fmt: skip
