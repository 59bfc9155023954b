"""DeepLabv3+ with separable ASPP and decoder (arXiv 1802.02611) on six backbones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.host.models.aspp import ASPP, RATES, stride_rates
from edgeseg.host.models.backbones.inverted_residual import (
    EfficientNetLite0,
    EfficientNetLite2,
    MobileNetV2,
)
from edgeseg.host.models.backbones.resnet import ResNet50, ResNet101
from edgeseg.host.models.backbones.xception import AlignedXception
from edgeseg.host.models.blocks import ConvBNReLU, Segmenter, SeparableConv, initialize
from edgeseg.host.models.deeplabv3 import Backbone


class DeepLabV3Plus(Segmenter):
    """DeepLabv3 as the encoder, and a decoder that joins its map with a stride-4 one (section 3.1).

    `atrous_rates` are those at output stride 16; at 8 they double. ASPP and decoder widths are
    options (the paper's 256 by default).

    Deviations: dropout before the classifier as well as in the ASPP; no multi-grid; the backbones'
    own, as their classes say.

    Attributes:
        backbone_type: gives a stride-4 and a deepest map.
        default_rates: of the ASPP where none are given.
        rates_double: whether the rates double at output stride 8.
    """

    stride = 16
    backbone_type: ClassVar[type[Backbone]]
    default_rates: ClassVar[tuple[int, ...]] = RATES
    rates_double: ClassVar[bool] = True

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
        rates = self.default_rates if atrous_rates is None else atrous_rates
        rates = stride_rates(rates, output_stride if self.rates_double else 16)
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
        """Map a normalised N,3,H,W image to logits N,K,ceil(H/4),ceil(W/4)."""
        low, high = self.backbone(x)
        high = F.interpolate(
            self.aspp(high), size=low.shape[-2:], mode="bilinear", align_corners=False
        )
        merged = torch.cat([high, self.reduce(low)], dim=1)
        return self.classifier(self.dropout(self.refine(merged)))


class DeepLabV3PlusMobileNetV2(DeepLabV3Plus):
    """On MobileNetV2.

    Deviation: `atrous_rates` defaults to 3, 6, 9 at either output stride, since a 360x480 frame is
    23x30 cells at output stride 16 and a larger kernel degenerates to 1x1 there.
    """

    source = "DeepLabv3+ (arXiv 1802.02611) on MobileNetV2 (arXiv 1801.04381)"
    backbone_type: ClassVar[type[Backbone]] = MobileNetV2
    default_rates = (3, 6, 9)
    rates_double = False


class DeepLabV3PlusEfficientNetLite0(DeepLabV3PlusMobileNetV2):
    """On EfficientNet-Lite0, with the rates that MobileNetV2 has here."""

    source = "DeepLabv3+ (arXiv 1802.02611) on EfficientNet-Lite0 (arXiv 1905.11946)"
    backbone_type = EfficientNetLite0


class DeepLabV3PlusEfficientNetLite2(DeepLabV3PlusEfficientNetLite0):
    """On EfficientNet-Lite2, with the same rates."""

    source = "DeepLabv3+ (arXiv 1802.02611) on EfficientNet-Lite2 (arXiv 1905.11946)"
    backbone_type = EfficientNetLite2


class DeepLabV3PlusResNet50(DeepLabV3Plus):
    """On ResNet-50."""

    source = "DeepLabv3+ (arXiv 1802.02611) on ResNet-50 (arXiv 1512.03385)"
    backbone_type = ResNet50


class DeepLabV3PlusResNet101(DeepLabV3Plus):
    """On ResNet-101."""

    source = "DeepLabv3+ (arXiv 1802.02611) on ResNet-101 (arXiv 1512.03385)"
    backbone_type = ResNet101


class DeepLabV3PlusXception(DeepLabV3Plus):
    """On modified aligned Xception."""

    source = "DeepLabv3+ (arXiv 1802.02611) on aligned Xception"
    backbone_type = AlignedXception
