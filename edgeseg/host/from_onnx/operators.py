"""ONNX operators of segmentation networks as calls and layers of torch, for fixed shapes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeseg.errors import ExportError

# A value of the graph, or a constant.
Value = Any


class Draft:
    """The torch network in the making: layers by name, and the graph that calls them."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.root, self.graph = nn.Module(), fx.Graph()

    def layer(self, name: str, layer: nn.Module, value: Value) -> fx.Node:
        """Call a layer of that name, or of one like it that is free."""
        place = "".join(c if c.isalnum() else "_" for c in name).strip("_") or "layer"
        place = f"n_{place}" if place[0].isdigit() else place
        while hasattr(self.root, place):
            place += "_"
        self.root.add_module(place, layer)
        return self.graph.call_module(place, (value,))

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        """Call a function; constants among its arguments become buffers."""
        return self.graph.call_function(function, tuple(map(self._held, args)), kwargs)

    def _held(self, value: Any) -> Any:
        if isinstance(value, (list, tuple)) and any(
            isinstance(v, (fx.Node, torch.Tensor)) for v in value
        ):
            return [self._held(each) for each in value]
        if not isinstance(value, torch.Tensor):
            return value
        if value.ndim == 0:
            return value.item()
        name = f"constant_{len(list(self.root.buffers()))}"
        self.root.register_buffer(name, value)
        return self.graph.get_attr(name)


class Place:
    """One node of the file with what its conversion reads.

    Attributes:
        draft: the network in the making.
        name: of the node.
        values: its inputs; None where one is left out.
        about: its attributes.
        shape: of its first result.
        before: of its first input.
    """

    def __init__(
        self, draft: Draft, name: str, values: Sequence[Value], about: Mapping[str, Any],
        shape: Sequence[int], before: Sequence[int],
    ) -> None:  # fmt: skip
        self.draft, self.name, self.values, self.about = draft, name, values, about
        self.shape, self.before = tuple(shape), tuple(before)

    @property
    def x(self) -> Value:
        """The first input."""
        return self.values[0]

    def constant(self, index: int, attribute: str = "") -> np.ndarray | None:
        """Return an input that must be constant, or an attribute in its place; None for neither.

        Raises:
            ExportError: it is computed.
        """
        value = self.values[index] if index < len(self.values) else None
        if isinstance(value, torch.Tensor):
            return value.numpy()
        if value is not None:
            raise ExportError(f"node {self.name!r} has a shape or bound that is computed")
        return np.asarray(self.about[attribute]) if attribute in self.about else None

    def refuse(self, what: str) -> ExportError:
        """Return the error for a form that is not known."""
        return ExportError(f"node {self.name!r} has {what}, which edgeseg cannot bring to torch")


def _conv(p: Place) -> Value:
    weight, bias = p.values[1], p.values[2] if len(p.values) > 2 else None
    if not isinstance(weight, torch.Tensor) or weight.ndim != 4:
        raise p.refuse("weights that are computed or no 2-D kernels")
    strides, dilations = p.about.get("strides", [1, 1]), p.about.get("dilations", [1, 1])
    group, kernel = p.about.get("group", 1), list(weight.shape[2:])
    x, pads = p.x, _pads(p, kernel, strides, dilations)
    if pads[:2] != pads[2:]:
        x = p.draft.call(F.pad, x, [pads[1], pads[3], pads[0], pads[2]])
        pads = [0, 0, 0, 0]
    layer = nn.Conv2d(
        weight.shape[1] * group, weight.shape[0], (kernel[0], kernel[1]), _two(strides),
        _two(pads), _two(dilations), group, bias is not None,
    )  # fmt: skip
    return p.draft.layer(p.name, _filled(layer, weight, bias), x)


def _transposed(p: Place) -> Value:
    weight, bias = p.values[1], p.values[2] if len(p.values) > 2 else None
    pads = p.about.get("pads", [0, 0, 0, 0])
    odd = pads[:2] != pads[2:] or p.about.get("auto_pad", "NOTSET") != "NOTSET"
    if not isinstance(weight, torch.Tensor) or weight.ndim != 4 or odd:
        raise p.refuse("weights that are computed, or padding of two widths")
    group, strides = p.about.get("group", 1), p.about.get("strides", [1, 1])
    layer = nn.ConvTranspose2d(
        weight.shape[0], weight.shape[1] * group, (weight.shape[2], weight.shape[3]),
        _two(strides), _two(pads), _two(p.about.get("output_padding", [0, 0])), group,
        bias is not None, _two(p.about.get("dilations", [1, 1])),
    )  # fmt: skip
    return p.draft.layer(p.name, _filled(layer, weight, bias), p.x)


def _filled(layer: Any, weight: torch.Tensor, bias: torch.Tensor | None) -> nn.Module:
    layer.weight = nn.Parameter(weight.clone())
    if bias is not None:
        layer.bias = nn.Parameter(bias.clone())
    filled: nn.Module = layer
    return filled


def _norm(p: Place) -> Value:
    gain, shift, mean, variance = p.values[1:5]
    layer = nn.BatchNorm2d(gain.numel(), eps=p.about.get("epsilon", 1e-5))
    _filled(layer, gain, shift)
    layer.running_mean, layer.running_var = mean.clone(), variance.clone()
    return p.draft.layer(p.name, layer, p.x)


def _pads(
    p: Place, kernel: Sequence[int], strides: Sequence[int], dilations: Sequence[int]
) -> list[int]:
    how = p.about.get("auto_pad", "NOTSET")
    if how == "NOTSET":
        return list(p.about.get("pads", [0, 0, 0, 0]))
    if how == "VALID":
        return [0, 0, 0, 0]
    begin, end = [], []
    for axis in (0, 1):
        reach = (kernel[axis] - 1) * dilations[axis] + 1
        out, size = p.shape[2 + axis], p.before[2 + axis]
        total = max(0, (out - 1) * strides[axis] + reach - size)
        small, large = total // 2, total - total // 2
        begin.append(large if how == "SAME_LOWER" else small)
        end.append(small if how == "SAME_LOWER" else large)
    return [*begin, *end]


def _max_pool(p: Place) -> Value:
    kernel, strides = p.about["kernel_shape"], p.about.get("strides", [1, 1])
    dilations = p.about.get("dilations", [1, 1])
    x, pads = p.x, _pads(p, kernel, strides, dilations)
    if pads[:2] != pads[2:] or 2 * pads[0] > kernel[0] or 2 * pads[1] > kernel[1]:
        x = p.draft.call(F.pad, x, [pads[1], pads[3], pads[0], pads[2]], value=float("-inf"))
        pads = [0, 0, 0, 0]
    return p.draft.call(
        F.max_pool2d, x, list(kernel), list(strides), pads[:2], list(dilations),
        bool(p.about.get("ceil_mode", 0)),
    )  # fmt: skip


def _average_pool(p: Place) -> Value:
    kernel, strides = p.about["kernel_shape"], p.about.get("strides", [1, 1])
    pads = _pads(p, kernel, strides, [1, 1])
    if pads[:2] != pads[2:]:
        raise p.refuse("padding of two widths")
    return p.draft.call(
        F.avg_pool2d, p.x, list(kernel), list(strides), pads[:2],
        bool(p.about.get("ceil_mode", 0)), bool(p.about.get("count_include_pad", 0)),
    )  # fmt: skip


def _mean(p: Place) -> Value:
    axes = p.constant(1, "axes")
    dims = sorted(int(a) % len(p.before) for a in (axes if axes is not None else ()))
    keep = bool(p.about.get("keepdims", 1))
    if dims == [2, 3] and keep and len(p.before) == 4:
        return p.draft.call(F.adaptive_avg_pool2d, p.x, 1)
    return p.draft.call(torch.mean, p.x, dims, keep)


def _resize(p: Place) -> Value:
    mode, rule = p.about.get("mode", "nearest"), p.about.get(
        "coordinate_transformation_mode", "half_pixel"
    )  # fmt: skip
    size = list(p.shape[2:])
    if mode in ("linear", "bilinear"):
        if rule not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
            raise p.refuse(f"a resize of {rule}")
        return p.draft.call(
            F.interpolate, p.x, size=size, mode="bilinear", align_corners=rule == "align_corners"
        )
    if mode == "nearest":
        floors = rule == "asymmetric" and p.about.get("nearest_mode", "") == "floor"
        return p.draft.call(
            F.interpolate, p.x, size=size, mode="nearest" if floors else "nearest-exact"
        )
    raise p.refuse(f"a resize of {mode}")


def _clip(p: Place) -> Value:
    low, high = p.constant(1, "min"), p.constant(2, "max")
    if low is not None and high is None and float(low) == 0:
        return p.draft.call(F.relu, p.x)
    bounds = {"min": None if low is None else float(low), "max": None if high is None else
              float(high)}  # fmt: skip
    return p.draft.call(torch.clamp, p.x, **bounds)


def _hard_sigmoid(p: Place) -> Value:
    slope, shift = p.about.get("alpha", 0.2), p.about.get("beta", 0.5)
    if abs(slope - 1 / 6) < 1e-6 and shift == 0.5:
        return p.draft.call(F.hardsigmoid, p.x)
    scaled = p.draft.call(operator.add, p.draft.call(operator.mul, p.x, slope), shift)
    return p.draft.call(torch.clamp, scaled, min=0.0, max=1.0)


def _slice(p: Place) -> Value:
    starts, ends = p.constant(1, "starts"), p.constant(2, "ends")
    axes, steps = p.constant(3, "axes"), p.constant(4, "steps")
    if starts is None or ends is None:
        raise p.refuse("a cut without bounds")
    where = range(len(starts)) if axes is None else axes
    cuts = [slice(None)] * len(p.before)
    for index, axis in enumerate(where):
        step = 1 if steps is None else int(steps[index])
        if step < 1:
            raise p.refuse("a cut that goes backwards")
        cuts[int(axis) % len(p.before)] = slice(int(starts[index]), int(ends[index]), step)
    return p.draft.call(operator.getitem, p.x, tuple(cuts))


def _pad(p: Place) -> Value:
    pads, value = p.constant(1, "pads"), p.constant(2, "value")
    mode = p.about.get("mode", "constant")
    if pads is None or mode not in ("constant", "reflect") or len(p.values) > 3:
        raise p.refuse(f"padding of {mode}")
    half = len(pads) // 2
    pairs = [int(n) for axis in reversed(range(half)) for n in (pads[axis], pads[half + axis])]
    if mode == "reflect":
        return p.draft.call(F.pad, p.x, pairs[:4], "reflect")
    return p.draft.call(F.pad, p.x, pairs, "constant", 0.0 if value is None else float(value))


def _two(values: Sequence[int]) -> tuple[int, int]:
    return int(values[0]), int(values[1])


def _binary(function: Callable[..., Any]) -> Callable[[Place], Value]:
    return lambda p: p.draft.call(function, p.values[0], p.values[1])


def _unary(function: Callable[..., Any]) -> Callable[[Place], Value]:
    return lambda p: p.draft.call(function, p.x)


# Each by its own name; what is left out needs a value that only the picture gives.
OPERATORS: dict[str, Callable[[Place], Value]] = {
    "Add": _binary(operator.add),
    "AveragePool": _average_pool,
    "BatchNormalization": _norm,
    "Cast": lambda p: p.x,
    "Clip": _clip,
    "Concat": lambda p: p.draft.call(torch.cat, list(p.values), p.about["axis"]),
    "Conv": _conv,
    "ConvTranspose": _transposed,
    "Div": _binary(operator.truediv),
    "Dropout": lambda p: p.x,
    "Elu": lambda p: p.draft.call(F.elu, p.x, p.about.get("alpha", 1.0)),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Flatten": lambda p: p.draft.call(torch.reshape, p.x, list(p.shape)),
    "GlobalAveragePool": lambda p: p.draft.call(F.adaptive_avg_pool2d, p.x, 1),
    "GlobalMaxPool": lambda p: p.draft.call(F.adaptive_max_pool2d, p.x, 1),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(F.hardswish),
    "Identity": lambda p: p.x,
    "LeakyRelu": lambda p: p.draft.call(F.leaky_relu, p.x, p.about.get("alpha", 0.01)),
    "MatMul": _binary(torch.matmul),
    "MaxPool": _max_pool,
    "Mul": _binary(operator.mul),
    "Pad": _pad,
    "Pow": _binary(torch.pow),
    "ReduceMean": _mean,
    "Relu": _unary(F.relu),
    "Reshape": lambda p: p.draft.call(torch.reshape, p.x, list(p.shape)),
    "Resize": _resize,
    "Sigmoid": _unary(torch.sigmoid),
    "Slice": _slice,
    "Softmax": lambda p: p.draft.call(torch.softmax, p.x, p.about.get("axis", -1)),
    "Sqrt": _unary(torch.sqrt),
    "Squeeze": lambda p: p.draft.call(torch.reshape, p.x, list(p.shape)),
    "Sub": _binary(operator.sub),
    "Tanh": _unary(torch.tanh),
    "Transpose": lambda p: p.draft.call(torch.permute, p.x, list(p.about["perm"])),
    "Unsqueeze": lambda p: p.draft.call(torch.reshape, p.x, list(p.shape)),
}
