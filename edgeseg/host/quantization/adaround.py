"""AdaRound: rounds each weight up or down, whichever keeps the layer's output.

Rounding to nearest is best for a weight alone, not for the sum it goes into. A soft rounding
h(V) in [0, 1] is added to floor(w / s) and trained to keep the layer's float output, with a
penalty that drives every h to 0 or 1.
Source: Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization"
(arXiv 2004.10568), section 3.2, eq. 21-25: the asymmetric form, whose inputs are those of the
layers rounded before.

Deviation: the loss sees random windows of the outputs, not whole images; a convolution's error is
stationary, and whole feature maps of a segmentation network cost a hundred times as much.
"""

from __future__ import annotations

import dataclasses
import math

import torch
import torch.nn.functional as F

from edgeseg.host.quantization.fake_quant.layers import QuantConv2d, weight_step

# Stretch of the rectified sigmoid, eq. 23.
ZETA, GAMMA = 1.1, -0.1
# Appendix of the paper: weight of the penalty, annealing of its exponent, share without it.
PENALTY, BETA, FREE = 0.01, (20.0, 2.0), 0.2
LEARNING_RATE = 1e-2
WINDOWS, SIDE = 8, 12
# A level nearer than this to the end of the grid stays: it fixes the channel's scale.
END = 126.999


@dataclasses.dataclass(frozen=True)
class RoundingGain:
    """Mean squared error of one layer's output, rounded to nearest and as chosen."""

    nearest: float
    chosen: float


def adaround(
    layer: QuantConv2d,
    reads: list[torch.Tensor],
    wanted: list[torch.Tensor],
    *,
    relu: bool,
    iterations: int,
    generator: torch.Generator,
) -> RoundingGain:
    """Choose the rounding of a layer's weights, in place: they come to lie on their grid.

    The scales stay as they are, and so do zeros, which may be a 2:4 pattern. A choice that is no
    better than rounding to nearest on the whole of `reads` is dropped.

    Args:
        layer: the fake-quantized convolution; zero padding.
        reads: its inputs N,C,H,W in INT8.
        wanted: its outputs N,K,h,w in float.
        relu: whether a ReLU follows, whose result then counts (eq. 25).
        iterations: optimizer steps.
        generator: draws the windows.
    """
    step = weight_step(layer).view(-1, 1, 1, 1)
    level = layer.weight.detach() / step
    down = level.floor()
    fraction = (level - down).clamp(0.001, 0.999)
    held = (level.abs() > END) | (level == 0)
    score = -((ZETA - GAMMA) / (fraction - GAMMA) - 1).log()
    score.requires_grad_()
    optimizer = torch.optim.Adam([score], lr=LEARNING_RATE)
    with torch.enable_grad():
        for index in range(iterations):
            x, y = _windows(layer, reads, wanted, generator)
            soft = _soft(score)
            weight = torch.where(held, level.round(), down + soft) * step
            out = F.conv2d(x, weight, layer.bias, layer.stride, 0, layer.dilation, layer.groups)
            if relu:
                out, y = out.relu(), y.relu()
            loss = (out - y).square().sum(1).mean()
            if index >= FREE * iterations:
                loss = loss + PENALTY * _penalty(soft, index / iterations)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
    with torch.no_grad():
        nearest = layer.weight.detach().clone()
        before = output_error(layer, reads, wanted, relu=relu)
        up = (_soft(score) >= 0.5).to(level.dtype)
        layer.weight.copy_(torch.where(held, level.round(), down + up).clamp(-128, 127) * step)
        after = output_error(layer, reads, wanted, relu=relu)
        if not after < before:
            layer.weight.copy_(nearest)
            after = before
    return RoundingGain(before, after)


@torch.no_grad()
def output_error(
    layer: QuantConv2d, reads: list[torch.Tensor], wanted: list[torch.Tensor], *, relu: bool
) -> float:
    """Return the mean squared error of a layer's output over whole feature maps."""
    total, count = 0.0, 0
    for x, y in zip(reads, wanted, strict=True):
        out = layer(x)
        if relu:
            out, y = out.relu(), y.relu()
        total += float((out - y).square().double().sum())
        count += y.numel()
    return total / max(count, 1)


def _soft(score: torch.Tensor) -> torch.Tensor:
    return (score.sigmoid() * (ZETA - GAMMA) + GAMMA).clamp(0, 1)


def _penalty(soft: torch.Tensor, progress: float) -> torch.Tensor:
    """Eq. 24, the exponent annealed by a cosine."""
    share = (progress - FREE) / (1 - FREE)
    beta = BETA[1] + 0.5 * (BETA[0] - BETA[1]) * (1 + math.cos(math.pi * share))
    return (1 - (2 * soft - 1).abs().clamp_min(1e-6).pow(beta)).sum()


def _windows(
    layer: QuantConv2d,
    reads: list[torch.Tensor],
    wanted: list[torch.Tensor],
    generator: torch.Generator,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut random windows of the output, and of the padded input what they depend on."""
    inputs, outputs = [], []
    for _ in range(WINDOWS):
        batch = int(torch.randint(len(reads), (), generator=generator))
        item = int(torch.randint(reads[batch].shape[0], (), generator=generator))
        y = wanted[batch][item]
        place, size = [], []
        for length in y.shape[1:]:
            size.append(min(SIDE, length))
            place.append(int(torch.randint(length - size[-1] + 1, (), generator=generator)))
        spans = [
            (p * stride, (n - 1) * stride + dilation * (kernel - 1) + 1)
            for p, n, stride, dilation, kernel in zip(
                place, size, layer.stride, layer.dilation, layer.kernel_size, strict=True
            )
        ]
        inputs.append(_padded_crop(reads[batch][item], spans, layer.padding))
        outputs.append(y[:, place[0] : place[0] + size[0], place[1] : place[1] + size[1]])
    return torch.stack(inputs), torch.stack(outputs)


def _padded_crop(
    x: torch.Tensor, spans: list[tuple[int, int]], padding: str | tuple[int, ...]
) -> torch.Tensor:
    """Cut C,h,w out of C,H,W padded with zeros, without padding all of it."""
    assert not isinstance(padding, str)
    pads, slices = [], []
    for (start, length), pad, limit in zip(spans, padding, x.shape[1:], strict=True):
        first, last = start - pad, start - pad + length
        pads.append((max(0, -first), max(0, last - limit)))
        slices.append(slice(max(0, first), min(limit, last)))
    return F.pad(x[:, slices[0], slices[1]], (*pads[1], *pads[0]))
