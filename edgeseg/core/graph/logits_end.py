"""The form of a graph that ends at the network's logits, before its resize and argmax.

Scores per class are needed wherever one label a pixel is not enough: for OpenCV's argmax on CPUs,
for the dense CRF, for how sure the network is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import onnx
from onnx import helper

# What export writes, attribute by attribute; None stands for one that the graph leaves out.
ARGMAX = {"axis": (1,), "keepdims": (0,), "select_last_index": (0, None)}
RESIZE = {
    "mode": (b"linear",),
    "coordinate_transformation_mode": (b"half_pixel", None),
    "antialias": (0, None),
    "exclude_outside": (0, None),
    "axes": (None,),
}


def end_at_logits(model: onnx.ModelProto, labels: str) -> str | None:
    """Take the argmax, and a bilinear resize before it, off a graph that ends with them.

    Args:
        model: changed in place to give logits N,K,h,w, where it ends as export writes it.
        labels: the output's name, of uint8.

    Returns:
        The new output's name; None for a graph that ends otherwise, which is left alone.
    """
    graph = model.graph
    outputs = [(value.name, value.type.tensor_type.elem_type) for value in graph.output]
    if outputs != [(labels, onnx.TensorProto.UINT8)]:
        return None
    producers = {name: node for node in graph.node for name in node.output}
    reads = Counter(name for node in graph.node for name in node.input)
    end = [node] if (node := producers.get(labels)) else []
    while end and end[-1].op_type == "Cast":
        end.append(producers[end[-1].input[0]])
    if not end or not _has(end[-1], "ArgMax", ARGMAX):
        return None
    logits = end[-1].input[0]
    resize = producers.get(logits)
    if resize is not None and resize.op_type == "Resize":
        if not _has(resize, "Resize", RESIZE):
            return None
        end.append(resize)
        logits = resize.input[0]
    if any(reads[name] != 1 for node in end for name in node.output if name != labels):
        return None
    kept = [node for node in graph.node if node not in end]
    del graph.node[:], graph.output[:]
    graph.node.extend(kept)
    graph.output.append(helper.make_tensor_value_info(logits, onnx.TensorProto.FLOAT, [None] * 4))
    return logits


def _has(node: onnx.NodeProto, operator: str, wanted: Mapping[str, tuple[Any, ...]]) -> bool:
    """Say whether the node is of that type and each attribute one of those; None is left out."""
    stated = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return node.op_type == operator and all(
        stated.get(name) in values for name, values in wanted.items()
    )
