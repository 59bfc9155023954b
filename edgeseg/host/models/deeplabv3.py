"""DeepLabv3 (arXiv 1706.05587) on four backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from edgeseg.host.models.aspp import ASPP, RATES, stride_rates
from edgeseg.host.models.backbones.inverted_residual import InvertedResidualNet, MobileNetV2
from edgeseg.host.models.backbones.resnet import ResNet50, ResNet101
from edgeseg.host.models.backbones.xception import AlignedXception
from edgeseg.host.models.blocks import Segmenter, initialize

Backbone = InvertedResidualNet | ResNet50 | ResNet101 | AlignedXception


class DeepLabV3(Segmenter):
    """A dilated backbone, ASPP and a 1x1 classifier at the output stride (section 3).

    `atrous_rates` are those at output stride 16; at 8 they double.

    Deviations: no multi-grid (the last stage's blocks share one rate); MobileNetV2 and Xception
    are the backbones of later papers.

    Attributes:
        backbone_type: gives a stride-4 and a deepest map.
    """

    stride = 16
    backbone_type: ClassVar[type[Backbone]]

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
        """Map a normalised N,3,H,W image to logits N,K,ceil(H/s),ceil(W/s)."""
        _, high = self.backbone(x)
        return self.classifier(self.aspp(high))


class DeepLabV3MobileNetV2(DeepLabV3):
    """On MobileNetV2."""

    source = "DeepLabv3 (arXiv 1706.05587) on MobileNetV2 (arXiv 1801.04381)"
    backbone_type = MobileNetV2


class DeepLabV3ResNet50(DeepLabV3):
    """On ResNet-50."""

    source = "DeepLabv3 (arXiv 1706.05587) on ResNet-50 (arXiv 1512.03385)"
    backbone_type = ResNet50


class DeepLabV3ResNet101(DeepLabV3):
    """On ResNet-101."""

    source = "DeepLabv3 (arXiv 1706.05587) on ResNet-101 (arXiv 1512.03385)"
    backbone_type = ResNet101


class DeepLabV3Xception(DeepLabV3):
    """On aligned Xception."""

    source = "DeepLabv3 (arXiv 1706.05587) on aligned Xception (arXiv 1802.02611)"
    backbone_type = AlignedXception
