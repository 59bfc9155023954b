"""DeepLab-LargeFOV (v1, arXiv 1412.7062) and DeepLabv2 (arXiv 1606.00915)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgeseg.errors import SpecError
from edgeseg.host.models.backbones.resnet import ResNet101
from edgeseg.host.models.backbones.vgg import conv_stack, vgg_encoder, vgg_groups
from edgeseg.host.models.blocks import ConvBNReLU, Segmenter, initialize

LARGE_FOV_RATE = 12
# The two sets of rates of DeepLabv2's section 4.1.2: small and large fields of view.
ASPP_RATES = {"S": (2, 4, 8, 12), "L": (6, 12, 18, 24)}


class DeepLabLargeFOV(Segmenter):
    """VGG16 at output stride 8 with fc6 as a 3x3 convolution at rate 12 (section 3).

    20.5 M parameters, 82 MB as FP32: table 6 of the SegNet paper gives 83 MB.

    Deviations: BN after each convolution, so that it trains from scratch; no average pooling after
    the last max pooling; no dense CRF, which is a step of its own after any network.
    """

    source = "DeepLab-LargeFOV (arXiv 1412.7062), VGG16"
    suits = "comparing with the paper; coarse outlines"
    stride = 8
    vgg_dense = ()

    def __init__(
        self,
        n_classes: int,
        *,
        output_stride: int = stride,
        width: float = 1.0,
        fc_channels: int = 1024,
        dropout: float = 0.5,
    ) -> None:
        """Build the network; `width` scales the convolutions, `fc_channels` is fc6's and fc7's.

        Raises:
            SpecError: `output_stride` is not 8, or `width` leaves fewer than 8 channels.
        """
        super().__init__()
        self.check_stride(output_stride, (self.stride,))
        groups = vgg_groups(width)
        self.encoder = vgg_encoder(groups)
        # Pooling 4 and 5 do not stride any more; the last group's kernels are spread instead.
        self.encoder[4] = conv_stack(groups[3][-1], groups[4], dilation=2)
        self.pool = nn.MaxPool2d(3, 2, padding=1)
        self.flat_pool = nn.MaxPool2d(3, 1, padding=1)
        self.fc6 = ConvBNReLU(groups[-1][-1], fc_channels, 3, dilation=LARGE_FOV_RATE)
        self.fc7 = ConvBNReLU(fc_channels, fc_channels, 1)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(fc_channels, n_classes, 1)
        initialize(self, [self.classifier])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,ceil(H/8),ceil(W/8)."""
        for level, encode in enumerate(self.encoder):
            x = encode(x)
            x = self.pool(x) if level < 3 else self.flat_pool(x)
        return self.classifier(self.dropout(self.fc7(self.dropout(self.fc6(x)))))


class DeepLabV2(Segmenter):
    """ResNet-101 at output stride 8 and ASPP: four 3x3 classifiers at rates 6, 12, 18, 24, summed.

    Source: sections 3.1 (atrous convolution) and 3.2 (ASPP).

    Deviations: the sum is a 1x1 convolution over the concatenated class maps that starts as the
    sum: the branches then share one INT8 scale and the network has one float head. One scale in
    training (the original takes the maximum over three); no dense CRF; the strides as resnet.py
    says, and the first block of a dilated stage keeps the rate of the stage before, as in
    DeepLabv3's code, where the original's has its own stage's.
    """

    source = "DeepLabv2 (arXiv 1606.00915) on ResNet-101 (arXiv 1512.03385)"
    suits = "comparing with the paper; heavy, no decoder"
    stride = 8

    def __init__(
        self,
        n_classes: int,
        *,
        output_stride: int = stride,
        aspp: str = "L",
        atrous_rates: Sequence[int] | None = None,
        width: float = 1.0,
    ) -> None:
        """Build the network; `width` scales the backbone.

        `aspp` is "L" for the rates of ASPP-L or "S" for ASPP-S's 2, 4, 8, 12; `atrous_rates` are
        rates of one's own in their place.

        Raises:
            SpecError: `output_stride` is not 8 or 16, `aspp` neither "S" nor "L", or `width` is too
                small.
        """
        super().__init__()
        self.check_stride(output_stride, (8, 16))
        if aspp not in ASPP_RATES:
            raise SpecError(f"aspp is {aspp!r}, expected {' or '.join(ASPP_RATES)}")
        atrous_rates = ASPP_RATES[aspp] if atrous_rates is None else atrous_rates
        self.backbone = ResNet101(output_stride, width=width)
        self.aspp = nn.ModuleList(
            nn.Conv2d(self.backbone.out_channels, n_classes, 3, padding=rate, dilation=rate)
            for rate in atrous_rates
        )
        self.classifier = nn.Conv2d(n_classes * len(atrous_rates), n_classes, 1)
        initialize(self, self.aspp)
        with torch.no_grad():
            eye = torch.eye(n_classes, device=self.classifier.weight.device)
            self.classifier.weight.copy_(eye.repeat(1, len(atrous_rates))[:, :, None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,ceil(H/s),ceil(W/s)."""
        _, high = self.backbone(x)
        return self.classifier(torch.cat([branch(high) for branch in self.aspp], dim=1))
