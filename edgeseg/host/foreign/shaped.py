"""A tracer that knows the shape of every tensor, so that checks of shapes do not stop it."""

from __future__ import annotations

import operator
from collections.abc import Collection, Iterator
from typing import Any

import torch
from torch import fx, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch._subclasses.fake_tensor import unset_fake_temporarily as no_fakes
from torch.utils._pytree import tree_map_only

from edgeseg.host.fx.tracing import Tracer

UNKNOWN = object()


class ShapedProxy(fx.Proxy):
    """A value in the graph, with what it is for the size that is traced."""

    def __len__(self) -> int:
        """Return the length that a sequence or tensor has here."""
        return len(self._concrete())

    def __int__(self) -> int:
        """Return the number that this is here."""
        return int(self._concrete())

    def __index__(self) -> int:
        """Return the number that this is here."""
        return operator.index(self._concrete())

    def __float__(self) -> float:
        """Return the number that this is here."""
        return float(self._concrete())

    def __getattr__(self, k: str) -> ShapedAttribute:
        """Return an attribute, which joins the graph where it is used."""
        return ShapedAttribute(self, k)

    def _concrete(self) -> Any:
        return self.tracer.concrete(self)  # type: ignore[attr-defined]


class ShapedAttribute(fx.proxy.Attribute, ShapedProxy):
    """An attribute of a value, such as its shape."""


class ShapedTracer(Tracer):
    """Traces with fake tensors alongside, which cost nothing and know their shapes.

    A shape stays a value of the graph, which serves other sizes too. Only where Python asks for a
    plain number or truth does it become what it is for the size that is traced.
    """

    def __init__(self, size_hw: tuple[int, int], whole: Collection[str] = ()) -> None:
        """Keep the size of the input, and the names of modules that are not looked into."""
        super().__init__()
        self.size_hw = size_hw
        self.whole = frozenset(whole)
        self.known: dict[fx.Node, Any] = {}
        # Innermost module first: whose code ran when an error came.
        self.failed: list[str] = []
        self._mode = FakeTensorMode(allow_non_fake_inputs=True)
        self._computing = False

    def proxy(self, node: fx.Node) -> fx.Proxy:
        """Wrap a node."""
        return ShapedProxy(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Keep torch's own layers, and what was asked to stay whole."""
        return module_qualified_name in self.whole or super().is_leaf_module(
            m, module_qualified_name
        )

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, Any]) -> Any:
        """Return a parameter as a value of the graph, unless a layer is being computed."""
        if self._computing:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)

    def call_module(self, m: nn.Module, forward: Any, args: Any, kwargs: Any) -> Any:
        """Trace into a module, and note its name where that fails."""
        if self._computing:
            return forward(*args, **kwargs)
        try:
            return super().call_module(m, forward, args, kwargs)
        except Exception:
            self.failed.append(self.path_of_module(m))
            raise

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Add a node, and compute what it is for this size."""
        node = super().create_node(*args, **kwargs)
        self.known[node] = self._value(node)
        return node

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Return the truth of a value that depends on shapes alone."""
        return bool(self.concrete(obj))

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """Return the parts of a value whose length is known."""
        return iter([obj[index] for index in range(len(self.concrete(obj)))])  # type: ignore[index]

    def concrete(self, obj: fx.Proxy) -> Any:
        """Return what a value is here; a tensor only for its length.

        Raises:
            TraceError: it depends on what the picture shows.
        """
        value = self.known.get(obj.node, UNKNOWN)
        if value is UNKNOWN or (isinstance(value, torch.Tensor) and value.ndim == 0):
            raise fx.proxy.TraceError("the next step depends on what the picture shows")
        return value

    def _value(self, node: fx.Node) -> Any:
        if node.op == "output":
            return UNKNOWN
        computing, self._computing = self._computing, True
        try:
            with self._mode, torch.no_grad():
                if node.op == "placeholder":
                    return torch.zeros(1, 3, *self.size_hw)
                if node.op == "get_attr":
                    return operator.attrgetter(str(node.target))(self.root)
                args = fx.node.map_arg(node.args, self.known.__getitem__)
                kwargs = fx.node.map_arg(node.kwargs, self.known.__getitem__)
                if node.op == "call_method":
                    return getattr(args[0], str(node.target))(*args[1:], **kwargs)
                if node.op == "call_module":
                    return self._layer(self.root.get_submodule(str(node.target)), args, kwargs)
                return node.target(*args, **kwargs)  # type: ignore[operator]
        finally:
            self._computing = computing

    def _layer(self, layer: nn.Module, args: Any, kwargs: Any) -> Any:
        try:
            return layer(*args, **kwargs)
        except Exception:
            # One that looks at values gets some.
            with no_fakes():
                args, kwargs = tree_map_only(
                    torch.Tensor, lambda t: torch.zeros(t.shape, dtype=t.dtype), (args, kwargs)
                )
                real = layer(*args, **kwargs)
            return tree_map_only(torch.Tensor, self._mode.from_tensor, real)
