"""Un-pooling by indices without index operators: the exact `resize + resize` lowering.

Each 2x2 window keeps one code, 4, 3, 2 or 1 for its upper left, upper right, lower left and
lower right cell: `x == up(maxpool(x))` marks where the maximum is, the marked cells' codes are
max-pooled, so that the first of equal maxima wins as it does in torch. Un-pooling writes the value
where the resized code equals the cell's own code. Max-pool, nearest resize, comparison and select
exist in every runtime, and moving values is exact.

Bit-equal to max_pool2d/max_unpool2d(2, 2, ceil_mode=True), ties and odd sizes included.
"""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import fx, nn

from edgeseg.host.models.blocks import IndexedMaxPool2d, MaxUnpool2d
from edgeseg.host.quantization.fake_quant.layers import ActivationQuantizer


class LoweredPool(nn.Module):
    """IndexedMaxPool2d whose second result is the position code, N,C,h,w float, 1 to 4."""

    def __init__(self, step: float = 0.0) -> None:
        """Keep the grid step of the input.

        Args:
            step: scale of a quantized input. A cell then counts as the maximum when it is nearer
                to it than half a step: the same cells, but a runtime that holds one side of the
                comparison in FP16 and the other in FP32 finds them too. 0 compares for equality.
        """
        super().__init__()
        self.step = step

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pool N,C,H,W to N,C,ceil(H/2),ceil(W/2); return values and codes."""
        height, width = int(x.shape[-2]), int(x.shape[-1])
        values = F.max_pool2d(x, 2, 2, ceil_mode=True)
        if self.step > 0:
            is_max = x > _double(values - 0.5 * self.step, height, width)
        else:
            is_max = x == _double(values, height, width)
        marked = torch.where(is_max, _cell_codes(height, width, x.dtype), 0.0)
        return values, F.max_pool2d(marked, 2, 2, ceil_mode=True)


class LoweredUnpool(nn.Module):
    """MaxUnpool2d that takes LoweredPool's codes."""

    def forward(
        self, values: torch.Tensor, codes: torch.Tensor, like: torch.Tensor
    ) -> torch.Tensor:
        """Un-pool N,C,h,w to the height and width of `like`."""
        height, width = int(like.shape[-2]), int(like.shape[-1])
        here = _double(codes, height, width) == _cell_codes(height, width, codes.dtype)
        return torch.where(here, _double(values, height, width), 0.0)


def lower_unpooling(module: nn.Module) -> nn.Module:
    """Return a copy of `module` with every indexed pool and un-pool lowered."""
    lowered = copy.deepcopy(module)
    if isinstance(lowered, fx.GraphModule):
        _lower_calls(lowered)
        return lowered
    for owner in list(lowered.modules()):
        for name, layer in list(owner.named_children()):
            if isinstance(layer, IndexedMaxPool2d):
                setattr(owner, name, LoweredPool())
            elif isinstance(layer, MaxUnpool2d):
                setattr(owner, name, LoweredUnpool())
    return lowered


def _lower_calls(graph_module: fx.GraphModule) -> None:
    # Call by call, since one pooling module serves tensors of different scales.
    layers = dict(graph_module.named_modules())
    for node in list(graph_module.graph.nodes):
        layer = layers.get(str(node.target)) if node.op == "call_module" else None
        if isinstance(layer, IndexedMaxPool2d):
            node.target = f"lowered_{node.name}"
            graph_module.add_module(node.target, LoweredPool(_step_of(node.args[0], layers)))
        elif isinstance(layer, MaxUnpool2d):
            node.target = f"lowered_{node.name}"
            graph_module.add_module(node.target, LoweredUnpool())
    graph_module.delete_all_unused_submodules()
    graph_module.recompile()


def _step_of(node: object, layers: dict[str, nn.Module]) -> float:
    if isinstance(node, fx.Node) and node.op == "call_module":
        layer = layers[str(node.target)]
        if isinstance(layer, ActivationQuantizer) and layer.quantizing:
            return float(layer.step())
    return 0.0


def _double(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Repeat every cell 2x2 and cut to `height` x `width` (an odd size loses its last line)."""
    doubled = F.interpolate(x, scale_factor=2.0, mode="nearest")
    if doubled.shape[-2] != height:
        doubled = doubled[..., :height, :]
    if doubled.shape[-1] != width:
        doubled = doubled[..., :width]
    return doubled


def _cell_codes(height: int, width: int, dtype: torch.dtype) -> torch.Tensor:
    """Return 1,1,H,W with [[4, 3], [2, 1]] repeated: larger is earlier in torch's scan order."""
    rows = torch.tensor([2.0 * (1 - i % 2) for i in range(height)], dtype=dtype)
    columns = torch.tensor([2.0 - i % 2 for i in range(width)], dtype=dtype)
    return rows.view(1, 1, -1, 1) + columns.view(1, 1, 1, -1)
