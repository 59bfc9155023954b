"""DeepLabv3+ with separable ASPP and decoder (arXiv 1802.02611) on any backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.host.models.aspp import ASPP, RATES, stride_rates
from edgeseg.host.models.backbones.base import OnBackbone
from edgeseg.host.models.blocks import ConvBNReLU, SeparableConv, initialize


class DeepLabV3Plus(OnBackbone):
    """DeepLabv3 as the encoder, and a decoder that joins its map with a stride-4 one (section 3.1).

    `atrous_rates` are those at output stride 16; at 8 they double, unless the backbone has rates of
    its own. ASPP and decoder widths are options (the paper's 256 by default).

    Deviations: dropout before the classifier as well as in the ASPP; no multi-grid; the backbones'
    own, as their classes say.
    """

    source = "DeepLabv3+ (arXiv 1802.02611)"
    suits = "the first choice: good outlines at few MACs"
    stride = 16

    def __init__(
        self,
        n_classes: int,
        *,
        output_stride: int = stride,
        aspp_channels: int = 256,
        decoder_channels: int = 256,
        low_channels: int = 48,
        atrous_rates: Sequence[int] | None = None,
        dropout: float = 0.1,
        width: float = 1.0,
    ) -> None:
        """Build encoder and decoder; `width` scales the backbone.

        Raises:
            SpecError: `output_stride` is not 8 or 16, or `width` is too small.
        """
        super().__init__()
        self.check_stride(output_stride, (8, 16))
        own_rates = self.backbone_type.plus_rates
        rates = (own_rates or RATES) if atrous_rates is None else atrous_rates
        rates = stride_rates(rates, 16 if own_rates else output_stride)
        self.backbone = self.backbone_type(output_stride, width=width)
        self.aspp = ASPP(self.backbone.out_channels, aspp_channels, rates, dropout, separable=True)
        self.reduce = ConvBNReLU(self.backbone.low_channels, low_channels, 1)
        self.refine = nn.Sequential(
            SeparableConv(aspp_channels + low_channels, decoder_channels),
            SeparableConv(decoder_channels, decoder_channels),
        )
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(decoder_channels, n_classes, 1)
        initialize(self, [self.classifier])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,ceil(H/4),ceil(W/4)."""
        low, high = self.backbone(x)
        high = F.interpolate(
            self.aspp(high), size=low.shape[-2:], mode="bilinear", align_corners=False
        )
        merged = torch.cat([high, self.reduce(low)], dim=1)
        return self.classifier(self.dropout(self.refine(merged)))
