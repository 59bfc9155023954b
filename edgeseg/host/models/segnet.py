"""SegNet and SegNet-Basic (arXiv 1511.00561)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from edgeseg.errors import SpecError
from edgeseg.host.models.blocks import (
    ConvBNReLU,
    IndexedMaxPool2d,
    MaxUnpool2d,
    Segmenter,
    initialize,
)

# Channels of VGG16's 13 convolutions by pooling group.
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class IndexUnpooling(Segmenter):
    """Encoders, each followed by pooling, and as many decoders fed by un-pooling with its indices.

    Attributes:
        encoder: from the image down; each keeps the size.
        decoder: from the deepest map up; the last gives the classifier's input.
    """

    encoder: nn.ModuleList
    decoder: nn.ModuleList

    def __init__(self) -> None:
        """Add the pooling pair, which has no parameters and serves every level."""
        super().__init__()
        self.pool = IndexedMaxPool2d()
        self.unpool = MaxUnpool2d()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalised N,3,H,W image to logits N,K,H,W."""
        pooled = []
        for encode in self.encoder:
            before = encode(x)
            x, indices = self.pool(before)
            pooled.append((indices, before))
        for decode, (indices, before) in zip(self.decoder, reversed(pooled), strict=True):
            x = decode(self.unpool(x, indices, before))
        return self.classifier(x)


class SegNet(IndexUnpooling):
    """VGG16 encoder whose pooling indices drive the decoder's un-pooling.

    Deviations: convolutions carry no bias, since BN follows; the input is normalised by mean and
    standard deviation in place of local response normalisation (both are in the prototxts).
    """

    source = "SegNet (arXiv 1511.00561), VGG16 encoder"
    stride = 32

    def __init__(self, n_classes: int, *, output_stride: int = stride, width: float = 1.0) -> None:
        """Build the network; `width` scales every hidden channel count.

        Raises:
            SpecError: `output_stride` is not 32, or `width` leaves fewer than 8 channels.
        """
        super().__init__()
        if output_stride != 32:
            raise SpecError(f"segnet pools five times: output_stride is 32, not {output_stride}")
        if VGG16[0][0] * width < 8:
            raise SpecError(f"width {width} leaves fewer than 8 channels; give 0.125 or more")
        groups = [[max(8, int(c * width)) for c in group] for group in VGG16]
        self.encoder = nn.ModuleList()
        channels = 3
        for group in groups:
            self.encoder.append(_stack(channels, group))
            channels = group[-1]
        # The decoder mirrors the encoder: group i ends in the channels that group i-1 pooled.
        self.decoder = nn.ModuleList()
        for level in range(len(groups) - 1, 0, -1):
            width_out = groups[level - 1][-1]
            inner = groups[level][:-1]
            self.decoder.append(_stack(groups[level][-1], [*inner, width_out]))
        self.decoder.append(_stack(groups[0][-1], groups[0][:-1]))
        self.classifier = nn.Conv2d(groups[0][0], n_classes, 3, padding=1)
        initialize(self)


class SegNetBasic(IndexUnpooling):
    """Four encoders and four decoders of 64 channels with 7x7 kernels; decoders without ReLU.

    Deviations: no bias before BN; mean and standard deviation in place of local response
    normalisation.
    """

    source = "SegNet-Basic (arXiv 1511.00561, section 4.1)"
    stride = 16

    def __init__(
        self, n_classes: int, *, output_stride: int = stride, channels: int = 64, kernel: int = 7
    ) -> None:
        """Build the network.

        Raises:
            SpecError: `output_stride` is not 16, or `kernel` is even.
        """
        super().__init__()
        if output_stride != 16:
            raise SpecError(
                f"segnet-basic pools four times: output_stride is 16, not {output_stride}"
            )
        if kernel % 2 == 0:
            raise SpecError(f"kernel {kernel} is even; an odd kernel keeps the size")
        self.encoder = nn.ModuleList(
            ConvBNReLU(3 if level == 0 else channels, channels, kernel) for level in range(4)
        )
        self.decoder = nn.ModuleList(
            ConvBNReLU(channels, channels, kernel, relu=False) for _ in range(4)
        )
        self.classifier = nn.Conv2d(channels, n_classes, 1)
        initialize(self)


def _stack(in_channels: int, widths: Sequence[int]) -> nn.Sequential:
    layers = []
    for width in widths:
        layers.append(ConvBNReLU(in_channels, width, 3))
        in_channels = width
    return nn.Sequential(*layers)
