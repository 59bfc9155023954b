"""DeepLabv3+ with separable ASPP and decoder (arXiv 1802.02611)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.errors import SpecError
from edgeseg.host.models.blocks import ConvBNReLU, Segmenter, SeparableConv, initialize
from edgeseg.host.models.mobilenetv2 import MobileNetV2


class SeparableASPP(nn.Module):
    """Atrous spatial pyramid pooling of DeepLabv3 (arXiv 1706.05587, section 3.3), separable.

    Branches: 1x1, three separable 3x3 at `rates`, image pooling; concatenated and projected.
    """

    def __init__(
        self, in_channels: int, channels: int, rates: Sequence[int], dropout: float
    ) -> None:
        """Build five branches of `channels` each and the 1x1 projection."""
        super().__init__()
        self.point = ConvBNReLU(in_channels, channels, 1)
        self.atrous = nn.ModuleList(
            SeparableConv(in_channels, channels, dilation=rate) for rate in rates
        )
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


class DeepLabV3Plus(Segmenter):
    """DeepLabv3+ on MobileNetV2.

    Deviations from arXiv 1802.02611: `atrous_rates` defaults to 3, 6, 9 instead of 6, 12, 18,
    since a 360x480 frame is 23x30 cells at output stride 16 and a larger kernel degenerates to
    1x1 there; ASPP and decoder widths are options (the paper's 256 by default).
    """

    source = "DeepLabv3+ (arXiv 1802.02611) on MobileNetV2 (arXiv 1801.04381)"
    stride = 16

    def __init__(
        self,
        n_classes: int,
        *,
        output_stride: int = stride,
        aspp_channels: int = 256,
        decoder_channels: int = 256,
        low_channels: int = 48,
        atrous_rates: Sequence[int] = (3, 6, 9),
        dropout: float = 0.1,
    ) -> None:
        """Build encoder and decoder.

        Raises:
            SpecError: `output_stride` is not 8 or 16, or no atrous rate is given.
        """
        super().__init__()
        if output_stride not in (8, 16):
            raise SpecError(f"output_stride {output_stride} is not 8 or 16")
        if not atrous_rates:
            raise SpecError("atrous_rates is empty; give at least one rate, such as 3, 6, 9")
        self.backbone = MobileNetV2(output_stride)
        self.aspp = SeparableASPP(self.backbone.out_channels, aspp_channels, atrous_rates, dropout)
        self.reduce = ConvBNReLU(self.backbone.low_channels, low_channels, 1)
        self.refine = nn.Sequential(
            SeparableConv(aspp_channels + low_channels, decoder_channels),
            SeparableConv(decoder_channels, decoder_channels),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(decoder_channels, n_classes, 1)
        initialize(self)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalised N,3,H,W image to logits N,K,ceil(H/4),ceil(W/4)."""
        low, high = self.backbone(x)
        high = F.interpolate(
            self.aspp(high), size=low.shape[-2:], mode="bilinear", align_corners=False
        )
        merged = torch.cat([high, self.reduce(low)], dim=1)
        return self.classifier(self.dropout(self.refine(merged)))
