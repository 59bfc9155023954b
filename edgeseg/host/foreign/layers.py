"""Makes layers of calls with parameters: F.conv2d(x, self.weight) becomes a Conv2d that is called.

Folding, quantization and pruning look for layers. Packages write their own convolutions and batch
norms as calls, and torch.export leaves nothing else.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

aten: Any = torch.ops.aten
CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
TRANSPOSED = (
    "input", "weight", "bias", "stride", "padding", "output_padding", "groups", "dilation",
)  # fmt: skip
NORM = ("input", "running_mean", "running_var", "weight", "bias", "training", "momentum", "eps")
# How each function names its arguments, in order.
CALLS: dict[Any, tuple[str, tuple[str, ...]]] = {
    F.conv2d: ("conv", CONV),
    aten.conv2d.default: ("conv", CONV),
    aten.conv2d.padding: ("conv", CONV),
    F.conv_transpose2d: ("transposed", TRANSPOSED),
    aten.conv_transpose2d.input: ("transposed", TRANSPOSED),
    F.batch_norm: ("norm", NORM),
    aten.batch_norm.default: (
        "norm",
        ("input", "weight", "bias", "running_mean", "running_var", "training", "momentum", "eps"),
    ),
}


def make_layers(root: nn.Module, graph: fx.Graph) -> None:
    """Replace calls with parameters of `root` by calls of layers, which are put into `root`.

    Args:
        root: holds what the graph's get_attr nodes name; gets the layers, in place.
        graph: changed in place.
    """
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target not in CALLS:
            continue
        kind, names = CALLS[node.target]
        given = dict(zip(names, node.args, strict=False)) | dict(node.kwargs)
        if not isinstance(given["input"], fx.Node):
            continue
        held = {
            name: value
            for name in ("weight", "bias", "running_mean", "running_var")
            if (value := given.get(name)) is not None
        }
        if not all(isinstance(n, fx.Node) and n.op == "get_attr" for n in held.values()):
            continue
        tensors = {name: _held(root, n.target) for name, n in held.items()}
        layer = _norm(given, tensors) if kind == "norm" else _conv(kind, given, tensors)
        anchor = held.get("weight") or held.get("running_mean")
        if layer is None or anchor is None:
            continue
        place = _put(root, str(anchor.target), layer, shared=len(anchor.users) > 1)
        with graph.inserting_before(node):
            called = graph.call_module(place, (given["input"],))
        node.replace_all_uses_with(called)
        graph.erase_node(node)
    drop_dead(graph)


def drop_dead(graph: fx.Graph) -> None:
    """Take out what nothing reads; a graph here writes into no tensor but through its users."""
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))


def _held(root: nn.Module, name: object) -> torch.Tensor:
    value: torch.Tensor = operator.attrgetter(str(name))(root)
    return value


def _conv(kind: str, given: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Any:
    weight, groups = tensors["weight"], given.get("groups", 1)
    about: dict[str, Any] = {
        key: value if isinstance(value := given.get(key, default), str) else _pair(value)
        for key, default in (("stride", 1), ("padding", 0), ("dilation", 1), ("output_padding", 0))
        if key != "output_padding" or kind == "transposed"
    }
    if weight.ndim != 4 or None in about.values():
        return None
    first, second = weight.shape[:2]
    sides = (second * groups, first) if kind == "conv" else (first, second * groups)
    made: Any = nn.Conv2d if kind == "conv" else nn.ConvTranspose2d
    layer = made(
        *sides,
        tuple(weight.shape[2:]),
        groups=groups,
        bias="bias" in tensors,
        device="meta",
        **about,
    )
    _give(layer, tensors)
    return layer


def _norm(given: Mapping[str, Any], tensors: Mapping[str, torch.Tensor]) -> Any:
    if "running_mean" not in tensors or "running_var" not in tensors:
        return None
    affine = "weight" in tensors and "bias" in tensors
    if affine != ("weight" in tensors or "bias" in tensors):
        return None
    momentum = given.get("momentum", 0.1)
    layer = nn.BatchNorm2d(
        tensors["running_mean"].numel(),
        eps=given.get("eps", 1e-5),
        # Some compute it from a count, which is no constant of the layer.
        momentum=momentum if isinstance(momentum, float) and momentum else 0.1,
        affine=affine,
    )
    _give(layer, tensors)
    return layer


def _give(layer: nn.Module, tensors: Mapping[str, torch.Tensor]) -> None:
    for name, value in tensors.items():
        if name.startswith("running"):
            layer.register_buffer(name, value)
        else:
            own = value if isinstance(value, nn.Parameter) else nn.Parameter(value)
            layer.register_parameter(name, own)


def _pair(value: Any) -> tuple[int, int] | None:
    values = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    values = values * 2 if len(values) == 1 else values
    return values if len(values) == 2 and all(type(v) is int for v in values) else None


def _put(root: nn.Module, parameter: str, layer: nn.Module, *, shared: bool) -> str:
    """Put a layer where its parameter's owner stands, with the owner's children; return its name.

    A parameter with another name than weight, or one that others read too, gets a layer beside it.
    """
    owner, _, name = parameter.rpartition(".")
    if owner and name in ("weight", "running_mean") and not shared:
        old = root.get_submodule(owner)
        parent, _, last = owner.rpartition(".")
        for child, module in old.named_children():
            layer.add_module(child, module)
        root.get_submodule(parent).add_module(last, layer)
        return owner
    beside = f"{name}_layer"
    holder = root.get_submodule(owner)
    while hasattr(holder, beside):
        beside += "_"
    holder.add_module(beside, layer)
    return f"{owner}.{beside}".lstrip(".")
