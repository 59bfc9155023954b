"""Fake-quantized layers: float arithmetic that lands on the INT8 grid, trainable and exportable.

Both kinds use the operators that the dynamo exporter maps to QuantizeLinear/DequantizeLinear.
Rule: symmetric, zero-point 0, activations per tensor, weights per output channel (per tensor for
transposed convolutions, whose channel axis the runtimes disagree about).
Source: Jacob et al. 2018 (arXiv 1712.05877), section 3; Wu et al. 2020 (arXiv 2004.09602).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from edgeseg.host.quantization.fake_quant.learned_scales import learned_quantize
from edgeseg.host.quantization.fake_quant.rounding import INT8_MAX, fake_quantize
from edgeseg.host.quantization.observers.base import Observer

# Below this a channel is all zeros for any purpose; a scale must stay strictly positive.
MIN_AMAX = 1e-8


class ActivationQuantizer(nn.Module):
    """Puts a tensor on the grid `scale * [-128, 127]`; one instance is shared by tied tensors.

    Attributes:
        scale: amax / 127, float32 scalar buffer; the only state that is saved. None while the
            step size is learned.
        log_scale: log of the learned step size, a parameter; None where the scale is fixed.
        observing: whether inputs feed the observer.
        quantizing: whether the output is quantized; otherwise the input passes unchanged.
    """

    scale: torch.Tensor | None
    log_scale: nn.Parameter | None
    zero_point: torch.Tensor

    def __init__(self) -> None:
        """Start switched on, with scale 1 until a calibration or a state dict sets it."""
        super().__init__()
        self.register_buffer("scale", torch.ones(()))
        self.register_parameter("log_scale", None)
        self.register_buffer("zero_point", torch.zeros((), dtype=torch.int32), persistent=False)
        self.observing = False
        self.quantizing = True
        self.observer: Observer | None = None

    def forward(self, x: torch.Tensor, observe: bool = True) -> torch.Tensor:
        """Return `x` on the grid; gradients pass where it was not clipped.

        Args:
            x: any shape.
            observe: False where the values were quantized with this scale before (after a
                concatenation or an un-pooling), so that they are not counted twice.
        """
        if self.observing and observe and self.observer is not None:
            amax = self.observer.update(x.detach())
            if amax is not None:
                self.set_amax(amax)
        if not self.quantizing:
            return x
        if self.scale is None:
            assert self.log_scale is not None
            return learned_quantize(x, self.log_scale, None, values=x[0].numel())
        return fake_quantize(x, self.scale, zero_point=self.zero_point)

    def step(self) -> torch.Tensor:
        """Return the scale in use, fixed or learned: a float32 scalar without gradient."""
        if self.scale is not None:
            return self.scale
        assert self.log_scale is not None
        return self.log_scale.detach().exp()

    def set_amax(self, amax: float) -> None:
        """Set the range to [-amax, amax]."""
        amax = max(amax, MIN_AMAX)
        if self.scale is not None:
            self.scale.fill_(amax / INT8_MAX)
        elif self.log_scale is not None:
            self.log_scale.data.fill_(math.log(amax / INT8_MAX))

    def learn(self) -> None:
        """Make the scale a parameter that starts at its present value."""
        if self.scale is not None:
            self.log_scale = nn.Parameter(self.scale.log())
            self.scale = None

    def freeze(self) -> None:
        """Fix a learned scale at its present value, as a constant for the exporter."""
        self.scale = self.step().clone()
        self.log_scale = None

    def extra_repr(self) -> str:
        """Show the range in a module listing."""
        return f"amax={float(self.step()) * INT8_MAX:.4g}"


class ResidualObserver(ActivationQuantizer):
    """Knows the range of a convolution's result that a residual add consumes; changes nothing.

    TensorRT wants no Q/DQ there, a CPU runtime needs one. The export writes the scale beside the
    graph, and a backend that needs the pair inserts it.
    """

    def __init__(self) -> None:
        """Start without effect; only the exporter switches `quantizing` on, to find the tensor."""
        super().__init__()
        self.quantizing = False

    def learn(self) -> None:
        """Stay fixed: no gradient reaches a range that changes nothing."""


class QuantConv2d(nn.Conv2d):
    """A Conv2d whose weight is fake-quantized per output channel; made by quantized_layer.

    The scale follows the weight unless learn_scales made it a parameter or freeze_scales fixed it.
    """

    weight_axis: int | None = 0
    quantizing: bool = True
    weight_scale: torch.Tensor | None
    log_weight_scale: nn.Parameter | None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Convolve with the quantized weight."""
        weight = on_grid(self) if self.quantizing else self.weight
        output: torch.Tensor = self._conv_forward(input, weight, self.bias)
        return output


class QuantConvTranspose2d(nn.ConvTranspose2d):
    """A ConvTranspose2d whose weight is fake-quantized with one scale, as in QuantConv2d."""

    weight_axis: int | None = None
    quantizing: bool = True
    weight_scale: torch.Tensor | None
    log_weight_scale: nn.Parameter | None

    def forward(self, input: torch.Tensor, output_size: list[int] | None = None) -> torch.Tensor:
        """Convolve with the quantized weight."""
        weight = on_grid(self) if self.quantizing else self.weight
        padding = [int(pad) for pad in self.padding]
        extra = self._output_padding(
            input, output_size, list(self.stride), padding, list(self.kernel_size), 2,
            list(self.dilation),
        )  # fmt: skip
        return nn.functional.conv_transpose2d(
            input, weight, self.bias, self.stride, padding, extra, self.groups, self.dilation
        )


def weight_scale(weight: torch.Tensor, axis: int | None) -> torch.Tensor:
    """Return max|w| / 127 for each index of `axis`, or one scale if `axis` is None."""
    magnitude = weight.detach().abs()
    if axis is None:
        amax = magnitude.amax()
    else:
        amax = magnitude.amax([d for d in range(weight.dim()) if d != axis])
    return amax.clamp_min(MIN_AMAX) / INT8_MAX


def quantize_weight(
    weight: torch.Tensor, axis: int | None, scale: torch.Tensor | None = None
) -> torch.Tensor:
    """Put a weight on its grid; without `scale` it follows the weight. Gradients pass through."""
    if scale is None:
        scale = weight_scale(weight, axis)
    return fake_quantize(weight, scale, axis)


def on_grid(layer: QuantConv2d | QuantConvTranspose2d) -> torch.Tensor:
    """Return a layer's weight on its grid, by the scale that is in force."""
    weight, axis, learned = layer.weight, layer.weight_axis, layer.log_weight_scale
    if learned is not None:
        return learned_quantize(weight, learned, axis, values=weight.numel() // learned.numel())
    return quantize_weight(weight, axis, layer.weight_scale)


def quantized_layer(layer: nn.Conv2d | nn.ConvTranspose2d) -> nn.Module:
    """Return the fake-quantized form of a convolution, sharing its parameters."""
    kind = QuantConv2d if isinstance(layer, nn.Conv2d) else QuantConvTranspose2d
    fake = kind.__new__(kind)
    fake.__dict__ = {
        **layer.__dict__,
        "_buffers": dict(layer._buffers),
        "_parameters": dict(layer._parameters),
    }
    fake.register_buffer("weight_scale", None, persistent=False)
    fake.register_parameter("log_weight_scale", None)
    return fake


def learn_scales(module: nn.Module) -> None:
    """Make every scale, of activations and weights, a parameter that starts at its value."""
    for layer in module.modules():
        if isinstance(layer, ActivationQuantizer):
            layer.learn()
        elif isinstance(layer, (QuantConv2d, QuantConvTranspose2d)):
            start = weight_scale(layer.weight, layer.weight_axis)
            layer.log_weight_scale = nn.Parameter(start.log())


def freeze_scales(module: nn.Module) -> None:
    """Fix every scale, learned or not, at its present value, as a constant for the exporter."""
    for layer in module.modules():
        if isinstance(layer, ActivationQuantizer):
            layer.freeze()
        elif isinstance(layer, (QuantConv2d, QuantConvTranspose2d)):
            layer.weight_scale = weight_step(layer)
            layer.log_weight_scale = None


def weight_step(layer: QuantConv2d | QuantConvTranspose2d) -> torch.Tensor:
    """Return the scale, or scales by channel, that a layer's weight is quantized with."""
    if layer.log_weight_scale is not None:
        return layer.log_weight_scale.detach().exp()
    if layer.weight_scale is not None:
        return layer.weight_scale
    return weight_scale(layer.weight, layer.weight_axis)
