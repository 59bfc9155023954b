"""U-Net (arXiv 1505.04597)."""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.host.models.backbones.vgg import conv_stack
from edgeseg.host.models.blocks import Segmenter, check_width, crop_like, initialize

CHANNELS = (64, 128, 256, 512, 1024)


class UNet(Segmenter):
    """A contracting and an expanding path with as many steps, joined by concatenation.

    31.0 M parameters, as section 2 and figure 1 of the paper draw it.

    Deviations: colour images; no dropout at the end of the contracting path (section 3.1); BN after
    each convolution, which drops its bias; padded convolutions, so that the labels cover the whole
    image; pooling in ceil mode, and what it adds is cut off again.
    """

    source = "U-Net (arXiv 1505.04597)"
    suits = "thin structures from few pictures, where MACs do not matter"
    stride = 16

    def __init__(self, n_classes: int, *, output_stride: int = stride, width: float = 1.0) -> None:
        """Build the network; `width` scales every hidden channel count.

        Raises:
            SpecError: `output_stride` is not 16, or `width` leaves fewer than 8 channels.
        """
        super().__init__()
        self.check_stride(output_stride, (self.stride,))
        check_width(width, CHANNELS[0])
        first = int(CHANNELS[0] * width)
        channels = [first * 2**level for level in range(len(CHANNELS))]
        self.encoder = nn.ModuleList(
            conv_stack(below, [c, c])
            for below, c in zip([3, *channels[:-1]], channels, strict=True)
        )
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        upwards = list(reversed(channels[:-1]))
        self.upsample = nn.ModuleList(nn.ConvTranspose2d(2 * c, c, 2, stride=2) for c in upwards)
        self.decoder = nn.ModuleList(conv_stack(2 * c, [c, c]) for c in upwards)
        self.classifier = nn.Conv2d(channels[0], n_classes, 1)
        initialize(self, [self.classifier])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,H,W."""
        encoded: list[torch.Tensor] = []
        for encode in self.encoder:
            x = encode(self.pool(x) if encoded else x)
            encoded.append(x)
        for upsample, decode, skip in zip(
            self.upsample, self.decoder, reversed(encoded[:-1]), strict=True
        ):
            x = decode(torch.cat([skip, crop_like(upsample(x), skip)], dim=1))
        return self.classifier(x)
