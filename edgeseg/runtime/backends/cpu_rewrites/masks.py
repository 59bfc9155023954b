"""Un-pooling's selections as products, which ONNX Runtime computes nine times as fast.

The lowered un-pooling says `Where(here, values, 0)`. With a single zero on one side ONNX Runtime's
Where goes cell by cell: 21 of a light SegNet's 52 ms on one core, where the casts and products took
2.3. A product with the condition as 0 or 1 is the same for every finite value.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

# What tells where a window's maximum was, and where a cell's own position is.
COMPARISONS = ("Equal", "Greater")
# Between an upsampled map and the selection, for odd sizes.
CUT = "Slice"


def select_by_product(model: onnx.ModelProto) -> int:
    """Replace `Where(comparison, x, 0)` by `x * Cast(comparison)`, in place.

    Touched is what un-pooling consists of: x is a finite constant, a sum of two, or a map that a
    Resize doubled and perhaps a Slice cut, which is as finite as the network's values are.

    Returns:
        How many there were.
    """
    graph = model.graph
    made_by = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    count = 0
    for node in graph.node:
        if not _selects(node, made_by, constants):
            nodes.append(node)
            continue
        mask = f"{node.output[0]}_mask"
        nodes += [
            helper.make_node("Cast", [node.input[0]], [mask], to=TensorProto.FLOAT),
            helper.make_node("Mul", [node.input[1], mask], [node.output[0]], name=node.name),
        ]
        count += 1
    del graph.node[:]
    graph.node.extend(nodes)
    return count


def _selects(
    node: onnx.NodeProto,
    made_by: dict[str, onnx.NodeProto],
    constants: dict[str, onnx.TensorProto],
) -> bool:
    if node.op_type != "Where":
        return False
    condition, chosen, otherwise = node.input
    compared = made_by.get(condition)
    zero = constants.get(otherwise)
    if compared is None or compared.op_type not in COMPARISONS or zero is None:
        return False
    if zero.data_type != TensorProto.FLOAT or numpy_helper.to_array(zero).any():
        return False
    source = made_by.get(chosen)
    while source is not None and source.op_type == CUT:
        source = made_by.get(source.input[0])
    if source is not None and source.op_type == "Resize":
        return True
    summands = source.input if source is not None and source.op_type == "Add" else [chosen]
    return all(
        name in constants and bool(np.isfinite(numpy_helper.to_array(constants[name])).all())
        for name in summands
    )
