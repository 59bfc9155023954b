"""Faster backward of depthwise convolutions when training in bf16 on a CPU.

oneDNN's bf16 backward falls back to a slow kernel for strided and atrous depthwise convolutions:
on a 2-core AVX512-BF16 machine, one thread, 8x96x128x160 at stride 2 took 173 ms and 8x960x16x20 at
dilation 2 took 130 ms, where layers of that size without stride or dilation take 44 and 5 ms. The
weight's gradient of a 5x5 layer is slow as well: 8x144x64x80 took 182 ms in bf16, 53 in FP32, and
8x1152x8x10 64 and 11. The forward is left as it is; the backward is rewritten with operations that
have fast kernels.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

# Up to here oneDNN's bf16 gradient of the weight is fast.
FAST_KERNEL = 3


class _StridedDepthwise(torch.autograd.Function):
    """A strided convolution is an unstrided one of which some outputs are dropped.

    So its gradient is the unstrided gradient of the output gradient, zeros put between.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        return F.conv2d(x, weight, None, layer.stride, layer.padding, 1, layer.groups)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, weight = ctx.saved_tensors
        layer = ctx.layer
        height, width = (
            size + 2 * pad - kernel + 1
            for size, pad, kernel in zip(x.shape[2:], layer.padding, layer.kernel_size, strict=True)
        )
        spread = torch.zeros(
            (*x.shape[:2], height, width), dtype=grad.dtype, device=grad.device
        ).to(memory_format=torch.channels_last)
        spread[:, :, :: layer.stride[0], :: layer.stride[1]] = grad
        return *_unstrided_gradients(spread, x, weight, layer), None


class _WideDepthwise(torch.autograd.Function):
    """Gradient of the input as it is, of the weight in FP32."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        return F.conv2d(x, weight, None, 1, layer.padding, 1, layer.groups)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, weight = ctx.saved_tensors
        return *_unstrided_gradients(grad, x, weight, ctx.layer), None


def _unstrided_gradients(
    grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, layer: nn.Conv2d
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the gradients of input and weight of `layer` at stride 1, without dilation."""

    def gradients(
        grad: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, wanted: tuple[bool, bool]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        of_x, of_weight, _ = torch.ops.aten.convolution_backward(
            grad, x, weight, None, (1, 1), layer.padding, (1, 1), False, (0, 0), layer.groups,
            (*wanted, False),
        )  # fmt: skip
        return of_x, of_weight

    if layer.kernel_size[0] <= FAST_KERNEL:
        return gradients(grad, x, weight, (True, True))
    of_x, _ = gradients(grad, x, weight, (True, False))
    _, of_weight = gradients(grad.float(), x.float(), weight.float(), (False, True))
    return of_x, of_weight.to(weight.dtype)


class _AtrousDepthwise(torch.autograd.Function):
    """Gradient of the input by a forward convolution, of the weight tap by tap."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, layer: nn.Conv2d) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.layer = layer
        return F.conv2d(x, weight, None, 1, layer.padding, layer.dilation, layer.groups)

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None]:
        x, weight = ctx.saved_tensors
        layer = ctx.layer
        grad = grad.contiguous(memory_format=torch.channels_last)
        grad_x = F.conv2d(
            grad, weight.flip(2, 3), None, 1, layer.padding, layer.dilation, layer.groups
        )
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        height, width = x.shape[2:]
        for row in range(layer.kernel_size[0]):
            down = row * layer.dilation[0] - layer.padding[0]
            for column in range(layer.kernel_size[1]):
                right = column * layer.dilation[1] - layer.padding[1]
                if abs(down) >= height or abs(right) >= width:
                    continue
                seen = x[:, :, max(0, down) : height + min(0, down),
                         max(0, right) : width + min(0, right)]  # fmt: skip
                used = grad[:, :, max(0, -down) : height + min(0, -down),
                            max(0, -right) : width + min(0, -right)]  # fmt: skip
                grad_weight[:, 0, row, column] = (seen * used).sum((0, 2, 3), dtype=torch.float32)
        return grad_x, grad_weight.to(weight.dtype), None


@contextlib.contextmanager
def fast_depthwise_backward(module: nn.Module) -> Iterator[int]:
    """Use the rewritten backward in strided, atrous and wide depthwise convolutions of `module`.

    It takes the place of the layer's `_conv_forward`, which fake-quantized convolutions call with
    their quantized weight, so that quantization-aware training gains as much.

    Yields the number of layers concerned; the module is as before when the context ends.
    """
    patched = []
    for layer in module.modules():
        if not isinstance(layer, nn.Conv2d) or not layer.groups == layer.in_channels > 1:
            continue
        same = layer.padding == tuple(
            d * (k - 1) // 2 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)
        )
        if not same:
            continue
        if layer.stride != (1, 1) and layer.dilation == (1, 1):
            function: type[torch.autograd.Function] = _StridedDepthwise
        elif layer.stride == (1, 1) and layer.dilation != (1, 1):
            function = _AtrousDepthwise
        elif layer.stride == (1, 1) and layer.kernel_size[0] > FAST_KERNEL:
            function = _WideDepthwise
        else:
            continue
        layer._conv_forward = _forward_by(function, layer)  # type: ignore[method-assign, assignment]
        patched.append(layer)
    try:
        yield len(patched)
    finally:
        for layer in patched:
            del layer._conv_forward


def _forward_by(
    function: type[torch.autograd.Function], layer: nn.Conv2d
) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | None], torch.Tensor]:
    def forward(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            x, weight = x.to(dtype), weight.to(dtype)
        output: torch.Tensor = function.apply(x, weight, layer)  # type: ignore[no-untyped-call]
        return output if bias is None else output + bias.to(output.dtype).view(1, -1, 1, 1)

    return forward
