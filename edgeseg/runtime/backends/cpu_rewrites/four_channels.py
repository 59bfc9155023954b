"""Give an INT8 graph frames of four channels, and normalize them row by row.

Two things cost ONNX Runtime a fifth of a slim network's time before its first convolution:

    fast integer convolutions want input channels in fours; the three of RGB go a slow path
    the layout of those convolutions puts the channels last, and arithmetic with one mean for each
    of three channels then runs three numbers at a time

So frames get a fourth channel, whose weights are zero, and the fixed mean and deviation are
repeated over a row of width x 4 numbers. Both leave the result the same to the bit.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper

RGB = 3
WIDTH = 4
# From the frame to the first convolution: every operation that works on each channel by itself.
CHANNEL_WISE = frozenset({
    "Cast", "Transpose", "Mul", "Sub", "Div", "Add", "Sqrt", "QuantizeLinear", "DequantizeLinear",
})  # fmt: skip
# In rows only what knows nothing of its neighbours; the order in which export writes it.
ROW_WISE = ("Cast", "Transpose", "Mul", "Sub", "Div", "QuantizeLinear", "DequantizeLinear")
TO_ROWS = "edgeseg_rows_shape"
TO_FRAME = "edgeseg_frame_shape"


def widen_frame(model: onnx.ModelProto, frame: str) -> bool:
    """Make the graph take frames N,H,W,4 in place of N,H,W,3; the fourth channel is ignored.

    Touched is only a graph whose frame goes, channel by channel, to one convolution with int8
    weights that nothing else reads.

    Args:
        model: changed in place.
        frame: the input's name.

    Returns:
        Whether it was done.
    """
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    reads = [name for node in graph.node for name in node.input]
    path, convolution = _way_in(graph, frame)
    if convolution is None:
        return False
    weights = producers.get(convolution.input[1])
    if weights is None or weights.op_type != "DequantizeLinear":
        return False
    kernel = initializers.get(weights.input[0])
    private = (weights.input[0], weights.output[0])
    if kernel is None or kernel.data_type != onnx.TensorProto.INT8 or kernel.dims[1] != RGB:
        return False
    if any(reads.count(name) != 1 for name in private):
        return False
    constants = {
        name: initializers[name]
        for node in path
        for name in node.input
        if name in initializers and RGB in initializers[name].dims
    }
    if any(list(tensor.dims) != [1, RGB, 1, 1] for tensor in constants.values()):
        return False
    if any(reads.count(name) != 1 for name in constants):
        return False
    for tensor in constants.values():
        # The blue channel's once more: a number that every operation here can stand.
        _set(
            tensor, np.pad(numpy_helper.to_array(tensor), [(0, 0), (0, 1), (0, 0), (0, 0)], "edge")
        )
    pads = [(0, 0)] * len(kernel.dims)
    pads[1] = (0, WIDTH - RGB)
    _set(kernel, np.pad(numpy_helper.to_array(kernel), pads))
    value = next(value for value in graph.input if value.name == frame)
    value.type.tensor_type.shape.dim[3].dim_value = WIDTH
    _forget_shapes(graph, {name for node in path for name in node.output} | {weights.output[0]})
    return True


def normalize_in_rows(model: onnx.ModelProto, frame: str) -> bool:
    """Move the fixed normalization and the first quantizer before the transpose, on rows.

    Args:
        model: changed in place.
        frame: the input's name, N,H,W,C.

    Returns:
        Whether the graph begins as export writes it with fixed statistics, so that it was done.
    """
    graph = model.graph
    initializers = {tensor.name: tensor for tensor in graph.initializer}
    path, convolution = _way_in(graph, frame)
    if convolution is None or tuple(node.op_type for node in path) != ROW_WISE:
        return False
    cast, transpose, scale, subtract, divide, quantize, dequantize = path
    statistics = [
        initializers[node.input[1]] for node in (subtract, divide) if node.input[1] in initializers
    ]
    if scale.input[1] not in initializers or len(statistics) != 2:
        return False
    shape = next(value for value in graph.input if value.name == frame).type.tensor_type.shape
    batch, height, width, channels = (dim.dim_value for dim in shape.dim)
    if any(list(tensor.dims) != [1, channels, 1, 1] for tensor in statistics):
        return False
    for node, tensor in zip((subtract, divide), statistics, strict=True):
        name = f"{node.input[1]}_row"
        row = np.tile(numpy_helper.to_array(tensor).reshape(-1), width)
        graph.initializer.append(numpy_helper.from_array(row, name))
        node.input[1] = name
    for name, sizes in (
        (TO_ROWS, [batch, height, width * channels]),
        (TO_FRAME, [batch, height, width, channels]),
    ):
        graph.initializer.append(numpy_helper.from_array(np.array(sizes), name))
    rows, back = "edgeseg_rows", "edgeseg_quantized_frame"
    scale.input[0] = rows
    transpose.input[0], dequantize.input[0] = back, transpose.output[0]
    new = [
        cast,
        helper.make_node("Reshape", [cast.output[0], TO_ROWS], [rows]),
        scale,
        subtract,
        divide,
        quantize,
        helper.make_node("Reshape", [quantize.output[0], TO_FRAME], [back]),
        transpose,
        dequantize,
    ]
    _forget_shapes(graph, {name for node in new for name in node.output})
    rest = [node for node in graph.node if node not in path]
    del graph.node[:]
    graph.node.extend([*new, *rest])
    return True


def _way_in(
    graph: onnx.GraphProto, frame: str
) -> tuple[list[onnx.NodeProto], onnx.NodeProto | None]:
    """Return the nodes from the frame to its only convolution, None for it if there is another."""
    tainted = {frame}
    path: list[onnx.NodeProto] = []
    for node in graph.node:
        if not tainted.intersection(node.input):
            continue
        if node.op_type == "Conv":
            readers = [other for other in graph.node if tainted.intersection(other.input)]
            only = all(other is node or other in path for other in readers)
            return path, node if only and node.input[0] in tainted else None
        if node.op_type not in CHANNEL_WISE and not _mean_of_each_channel(graph, node):
            return path, None
        tainted.update(node.output)
        path.append(node)
    return path, None


def _mean_of_each_channel(graph: onnx.GraphProto, node: onnx.NodeProto) -> bool:
    if node.op_type != "ReduceMean" or len(node.input) != 2:
        return False
    axes = next((one for one in graph.initializer if one.name == node.input[1]), None)
    return axes is not None and numpy_helper.to_array(axes).tolist() == [2, 3]


def _set(tensor: onnx.TensorProto, values: np.ndarray) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values), tensor.name))


def _forget_shapes(graph: onnx.GraphProto, names: set[str]) -> None:
    for value in [value for value in graph.value_info if value.name in names]:
        graph.value_info.remove(value)
