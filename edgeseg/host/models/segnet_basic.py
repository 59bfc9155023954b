"""SegNet-Basic and its seven siblings: one encoder, one decoder with options.

Source: SegNet, arXiv 1511.00561, section 3.1, figure 3 and table 1. The published parameter counts
move in steps of 0.025 M: they are Caffe model files in tenths of a megabyte, divided by four bytes
(SegNet-Basic: 5.67 MB, printed as 5.7, gives 1.425). A count that gives the same tenth agrees.

Deviations of all eight: the input is normalized by mean and standard deviation in place of local
contrast normalization; the FCN variants end in a 1x1 classifier like the others (132 parameters at
11 classes), where the paper says of no layer between its K maps and the softmax.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from edgeseg.errors import SpecError
from edgeseg.host.models.blocks import (
    ConvBNReLU,
    Segmenter,
    crop_like,
    initialize,
    learnt_upsampling,
    start_bilinear,
)
from edgeseg.host.models.segnet import IndexUnpooling

LEVELS = 4
# Of the FCN variants (section 3.1).
UPSAMPLING_KERNEL = 8


class IndexBasic(IndexUnpooling):
    """Decoders that un-pool by indices, then convolve, without ReLU.

    Attributes:
        depthwise: each decoder filter sees only its own channel.
    """

    stride = 16
    depthwise: ClassVar[bool] = False

    def __init__(
        self, n_classes: int, *, output_stride: int = stride, channels: int = 64, kernel: int = 7
    ) -> None:
        """Build the network.

        Raises:
            SpecError: `output_stride` is not 16, or `kernel` is even.
        """
        super().__init__()
        self.check_stride(output_stride, (self.stride,))
        self.encoder = _encoder(channels, kernel)
        groups = channels if self.depthwise else 1
        self.decoder = nn.ModuleList(
            ConvBNReLU(channels, channels, kernel, groups=groups, relu=False) for _ in range(LEVELS)
        )
        self.classifier = nn.Conv2d(channels, n_classes, 1)
        initialize(self, [self.classifier])


class SegNetBasic(IndexBasic):
    """Four encoders and four decoders of 64 channels with 7x7 kernels; decoders without ReLU."""

    source = "SegNet-Basic (arXiv 1511.00561, section 3.1)"
    suits = "studying un-pooling by indices; small file, many MACs"


class SegNetBasicEncoderAddition(IndexBasic):
    """SegNet-Basic whose decoders also add the encoder's 64 maps of the same size."""

    source = "SegNet-Basic-EncoderAddition (arXiv 1511.00561, table 1)"
    suits = "the paper's table 1"
    add_encoder = True


class SegNetBasicSingleChannelDecoder(IndexBasic):
    """SegNet-Basic whose decoder filters are single-channel, that is depthwise."""

    source = "SegNet-Basic-SingleChannelDecoder (arXiv 1511.00561, table 1)"
    suits = "the paper's table 1; fewer MACs in the decoder"
    depthwise = True


class UpsamplingBasic(Segmenter):
    """Decoders of learnt upsampling, initialized as bilinear, with or without skips.

    Attributes:
        reduced: the encoder's 64 maps are reduced to one a class before they are decoded.
        add_encoder: the encoder's maps after pooling, reduced or not, are added to the upsampled
            maps of their size (figure 3): those of the first three encoders, since the last one's
            are what is upsampled. So the largest maps kept are half the image's size, the 180x240
            of the paper's example.
    """

    stride = 16
    reduced: ClassVar[bool] = True
    add_encoder: ClassVar[bool] = True

    def __init__(
        self, n_classes: int, *, output_stride: int = stride, channels: int = 64, kernel: int = 7
    ) -> None:
        """Build the network.

        Raises:
            SpecError: `output_stride` is not 16, or `kernel` is even.
        """
        super().__init__()
        self.check_stride(output_stride, (self.stride,))
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.encoder = _encoder(channels, kernel)
        width = n_classes if self.reduced else channels
        reductions = LEVELS if self.add_encoder else 1
        self.reduce = nn.ModuleList(
            nn.Conv2d(channels, width, 1) if self.reduced else nn.Identity()
            for _ in range(reductions)
        )
        self.decoder = nn.ModuleList(
            learnt_upsampling(width, 2, UPSAMPLING_KERNEL) for _ in range(LEVELS)
        )
        self.classifier = nn.Conv2d(width, n_classes, 1)
        initialize(self, self.reduce if self.reduced else [self.classifier])
        start_bilinear(*self.decoder)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,H,W."""
        levels = [x]
        for encode in self.encoder:
            levels.append(self.pool(encode(levels[-1])))
        x = self.reduce[0](levels.pop())
        for level, upsample in enumerate(self.decoder, start=1):
            above = levels.pop()
            x = crop_like(upsample(x), above)
            if self.add_encoder and levels:
                x = x + self.reduce[level](above)
        return self.classifier(x)


class FCNBasic(UpsamplingBasic):
    """SegNet-Basic's encoder with FCN's decoder on maps reduced to one a class."""

    source = "FCN-Basic (arXiv 1511.00561, table 1)"
    suits = "the paper's table 1"


class FCNBasicNoAddition(UpsamplingBasic):
    """FCN-Basic without the encoder's maps."""

    source = "FCN-Basic-NoAddition (arXiv 1511.00561, table 1)"
    suits = "the paper's table 1"
    add_encoder = False


class FCNBasicNoDimReduction(UpsamplingBasic):
    """FCN-Basic on all 64 maps.

    Parameters: 0.612 M of encoder, 4 * 64 * 64 * 8 * 8 = 1.049 M of upsampling, 715 of classifier:
    1.661 M. Table 1 prints 1.625, 2.2 % less, for both variants on all maps: its rounded encoder
    (0.625) plus 1.0, so that the upsampling seems to be rounded to tenths as well.
    """

    source = "FCN-Basic-NoDimReduction (arXiv 1511.00561, table 1)"
    suits = "the paper's table 1"
    reduced = False


class FCNBasicNoAdditionNoDimReduction(UpsamplingBasic):
    """FCN-Basic-NoDimReduction without the encoder's maps; 1.661 M parameters for the same reason.

    The paper trains it at full width to see what the added maps are worth.
    """

    source = "FCN-Basic-NoAddition-NoDimReduction (arXiv 1511.00561, table 1)"
    suits = "the paper's table 1"
    reduced = False
    add_encoder = False


class BilinearInterpolation(Segmenter):
    """SegNet-Basic's encoder, a 1x1 classifier, and fixed bilinear upsampling by 16.

    The upsampling has no parameters and ends every network here, so the logits leave at 1/16: the
    caller's resize to the frame is this architecture's decoder. It is one step, where four by two
    would be FCN-Basic-NoAddition's.

    Parameters: 0.612 M of encoder and 715 of classifier, 0.613 M. Table 1's 0.625 is 2 % more by
    its rounding alone: 2.45 MB, printed as 2.5, over four.
    """

    source = "Bilinear-Interpolation (arXiv 1511.00561, table 1)"
    suits = "the paper's table 1; how far the encoder alone goes"
    stride = 16

    def __init__(
        self, n_classes: int, *, output_stride: int = stride, channels: int = 64, kernel: int = 7
    ) -> None:
        """Build the network.

        Raises:
            SpecError: `output_stride` is not 16, or `kernel` is even.
        """
        super().__init__()
        self.check_stride(output_stride, (self.stride,))
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.encoder = _encoder(channels, kernel)
        self.classifier = nn.Conv2d(channels, n_classes, 1)
        initialize(self, [self.classifier])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,ceil(H/16),ceil(W/16)."""
        for encode in self.encoder:
            x = self.pool(encode(x))
        return self.classifier(x)


def _encoder(channels: int, kernel: int) -> nn.ModuleList:
    if kernel % 2 == 0:
        raise SpecError(f"kernel {kernel} is even; an odd kernel keeps the size")
    return nn.ModuleList(
        ConvBNReLU(channels if level else 3, channels, kernel) for level in range(LEVELS)
    )
