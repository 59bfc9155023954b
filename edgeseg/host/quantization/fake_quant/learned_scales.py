"""Learned step sizes: the rounding of a fake-quantizer with a gradient for its scale.

The forward pass is torch's own fake-quantizer, so that a learned scale rounds exactly as a fixed
one and as the exported QuantizeLinear does. The backward pass adds the step size's gradient,
    d x^ / d s = round(x / s) - x / s   inside the range, the clipped level outside it,
times 1 / sqrt(n * 127) for n values a step serves.
Source: Esser et al. 2020, "Learned Step Size Quantization" (arXiv 1902.08153), eq. 3 and 2.2.

The parameter that the optimizer moves is log(s), as in Jain et al. 2020 (arXiv 1903.08066),
section 3.3: a step size stays positive, and Adam, whose steps do not shrink with the gradient,
moves a step of 0.001 and one of 1 by the same share.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from edgeseg.host.quantization.fake_quant.rounding import INT8_MAX, INT8_MIN, fake_quantize


class _LearnedStep(torch.autograd.Function):
    """fake_quantize of x by step s (a scalar, or one for each index of `axis`)."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, step: torch.Tensor, axis: int | None, values: int
    ) -> torch.Tensor:
        ctx.save_for_backward(x, step)
        ctx.axis, ctx.factor = axis, 1.0 / math.sqrt(max(values, 1) * INT8_MAX)
        return fake_quantize(x, step, axis)

    @staticmethod
    def backward(
        ctx: Any, grad: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        x, step = ctx.saved_tensors
        shape = [1] * x.dim()
        if ctx.axis is not None:
            shape[ctx.axis] = -1
        level = x.float() / step.view(shape)
        nearest = level.round()
        inside = (nearest >= INT8_MIN) & (nearest <= INT8_MAX)
        slope = torch.where(inside, nearest - level, nearest.clamp(INT8_MIN, INT8_MAX))
        slope = slope * grad
        if ctx.axis is None:
            step_grad = slope.sum()
        else:
            step_grad = slope.sum([d for d in range(x.dim()) if d != ctx.axis])
        return grad * inside, step_grad * ctx.factor, None, None


def learned_quantize(
    x: torch.Tensor, log_step: torch.Tensor, axis: int | None, *, values: int
) -> torch.Tensor:
    """Put `x` on the grid of the step exp(log_step), with gradients for both.

    Args:
        x: any shape.
        log_step: float32 scalar, or one value for each index of `axis`.
        axis: the channel axis, None for one step.
        values: how many values one step serves, for the gradient's scale: the features of one
            sample for an activation, the weights of one channel for a weight.
    """
    output: torch.Tensor = _LearnedStep.apply(x, log_step.exp(), axis, values)  # type: ignore[no-untyped-call]
    return output
