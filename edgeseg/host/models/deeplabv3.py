"""DeepLabv3 (arXiv 1706.05587) on any backbone."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgeseg.host.models.aspp import ASPP, RATES, stride_rates
from edgeseg.host.models.backbones.base import OnBackbone
from edgeseg.host.models.blocks import initialize


class DeepLabV3(OnBackbone):
    """A dilated backbone, ASPP and a 1x1 classifier at the output stride (section 3).

    `atrous_rates` are those at output stride 16; at 8 they double.

    Deviations: no multi-grid (the last stage's blocks share one rate); all backbones but the
    ResNets are of later papers.
    """

    source = "DeepLabv3 (arXiv 1706.05587)"
    suits = "large regions; no decoder, so outlines are coarser than DeepLabv3+'s"
    stride = 16

    def __init__(
        self,
        n_classes: int,
        *,
        output_stride: int = stride,
        aspp_channels: int = 256,
        atrous_rates: Sequence[int] = RATES,
        dropout: float = 0.1,
        width: float = 1.0,
    ) -> None:
        """Build the network; `width` scales the backbone.

        Raises:
            SpecError: `output_stride` is not 8 or 16, or `width` is too small.
        """
        super().__init__()
        self.check_stride(output_stride, (8, 16))
        rates = stride_rates(atrous_rates, output_stride)
        self.backbone = self.backbone_type(output_stride, width=width)
        self.aspp = ASPP(self.backbone.out_channels, aspp_channels, rates, dropout, separable=False)
        self.classifier = nn.Conv2d(aspp_channels, n_classes, 1)
        initialize(self, [self.classifier])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,ceil(H/s),ceil(W/s)."""
        _, high = self.backbone(x)
        return self.classifier(self.aspp(high))
