"""Atrous spatial pyramid pooling (DeepLabv3, arXiv 1706.05587, section 3.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.host.models.blocks import ConvBNReLU, SeparableConv

# The paper's, at output stride 16.
RATES = (6, 12, 18)


def stride_rates(rates: Sequence[int], output_stride: int) -> tuple[int, ...]:
    """Return the rates at an output stride: as they are at 16, doubled at 8 (section 4.1)."""
    return tuple(rate * 16 // output_stride for rate in rates)


class ASPP(nn.Module):
    """Branches: 1x1, one 3x3 for each rate, image pooling; concatenated and projected.

    The 3x3 convolutions are plain (DeepLabv3) or separable (DeepLabv3+).
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        rates: Sequence[int],
        dropout: float,
        *,
        separable: bool,
    ) -> None:
        """Build the branches of `channels` each and the 1x1 projection."""
        super().__init__()
        atrous: type[ConvBNReLU] | type[SeparableConv] = SeparableConv if separable else ConvBNReLU
        self.point = ConvBNReLU(in_channels, channels, 1)
        self.atrous = nn.ModuleList(atrous(in_channels, channels, dilation=r) for r in rates)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.pool_conv = ConvBNReLU(in_channels, channels, 1)
        self.project = ConvBNReLU(channels * (len(rates) + 2), channels, 1)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,in,h,w to N,channels,h,w."""
        pooled = self.pool_conv(self.pool(x))
        # From 1x1 every interpolation is a broadcast; nearest is the cheapest in all runtimes.
        pooled = F.interpolate(pooled, size=x.shape[-2:], mode="nearest")
        branches = [self.point(x)] + [branch(x) for branch in self.atrous] + [pooled]
        return self.dropout(self.project(torch.cat(branches, dim=1)))
