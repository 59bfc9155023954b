"""A FP32 ONNX graph in float64: what differs from torch then is the graph, not rounding."""

import numpy as np
import onnx
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper


def run_in_torch(model: onnx.ModelProto, frame: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return every tensor of the graph by name, floats as float64.

    Knows the operators of a lowered SegNet.
    """
    graph = model.graph
    tensors = {t.name: torch.from_numpy(numpy_helper.to_array(t).copy()) for t in graph.initializer}
    tensors = {k: t.double() if t.is_floating_point() else t for k, t in tensors.items()}
    tensors[graph.input[0].name] = frame
    for node in graph.node:
        values = [tensors[name] if name else None for name in node.input]
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        tensors[node.output[0]] = OPERATORS[node.op_type](*values, **given)
    return tensors


def conv(x, weight, bias=None, *, strides, pads, dilations, group, **_):
    assert pads[:2] == pads[2:]
    return F.conv2d(x, weight, bias, strides, pads[:2], dilations, group)


def max_pool(x, *, kernel_shape, strides, ceil_mode, pads, **_):
    assert not any(pads)
    return F.max_pool2d(x, kernel_shape, strides, ceil_mode=bool(ceil_mode))


def resize(x, _roi, scales, *, mode, coordinate_transformation_mode, nearest_mode, **_):
    assert (mode, coordinate_transformation_mode) == (b"nearest", b"asymmetric")
    assert nearest_mode == b"floor"
    assert scales.tolist() == [1, 1, 2, 2]
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def cut(x, starts, ends, axes, steps):
    assert set(steps.tolist()) == {1}
    for start, end, axis in zip(starts.tolist(), ends.tolist(), axes.tolist(), strict=True):
        end = min(end, x.shape[axis])
        x = x.narrow(axis, start, (end if end >= 0 else end + x.shape[axis]) - start)
    return x


def cast(x, *, to, **_):
    dtype = torch.from_numpy(np.zeros(0, helper.tensor_dtype_to_np_dtype(to))).dtype
    return x.to(torch.float64 if dtype.is_floating_point else dtype)


OPERATORS = {
    "Add": torch.add,
    "ArgMax": lambda x, *, axis, keepdims, **_: x.argmax(axis, keepdim=bool(keepdims)),
    "Cast": cast,
    "Conv": conv,
    "Div": torch.div,
    "Equal": torch.eq,
    "MaxPool": max_pool,
    "Mul": torch.mul,
    "Relu": torch.relu,
    "Resize": resize,
    "Slice": cut,
    "Sub": torch.sub,
    "Transpose": lambda x, *, perm: x.permute(perm),
    "Where": torch.where,
}
