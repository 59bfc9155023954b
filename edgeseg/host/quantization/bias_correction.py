"""Bias correction: adds the mean error that rounding causes to each bias.

The mean of a layer's output in INT8 differs from that in float, since rounding errors of weights
do not cancel over inputs of non-zero mean. The difference, measured on calibration batches with
all layers before corrected already, is added to the bias by channel.
Source: Nagel et al. 2019 (arXiv 1906.04721), section 4.2 and appendix D (empirical correction).
"""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def correct_bias(
    layer: nn.Conv2d | nn.ConvTranspose2d, reads: list[torch.Tensor], wanted: list[torch.Tensor]
) -> float:
    """Move a layer's bias so that its mean output by channel is the wanted one, in place.

    Args:
        layer: a fake-quantized convolution, or a float one with quantized inputs.
        reads: its inputs N,C,H,W in INT8.
        wanted: its outputs N,K,h,w in float.

    Returns:
        The largest shift, in units of the output; 0 for a layer without a bias.
    """
    if layer.bias is None:
        return 0.0
    total = torch.zeros(layer.out_channels, dtype=torch.float64)
    count = 0
    for x, y in zip(reads, wanted, strict=True):
        error = (y - layer(x)).double()
        total += error.sum((0, 2, 3))
        count += error.numel() // layer.out_channels
    shift = (total / max(count, 1)).to(layer.bias.dtype)
    layer.bias.add_(shift)
    return float(shift.abs().max())
