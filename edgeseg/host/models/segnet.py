"""SegNet (arXiv 1511.00561) and the forward pass of every network that un-pools by indices."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from edgeseg.host.models.backbones.vgg import vgg_decoder, vgg_encoder, vgg_groups
from edgeseg.host.models.blocks import IndexedMaxPool2d, MaxUnpool2d, Segmenter, initialize


class IndexUnpooling(Segmenter):
    """Encoders, each followed by pooling, and as many decoders fed by un-pooling with its indices.

    Attributes:
        encoder: from the image down; each keeps the size.
        middle: between the deepest pooling and the first un-pooling.
        decoder: from the deepest map up; the last gives the classifier's input.
        add_encoder: the encoder's maps before pooling, which have the size of the decoder's, are
            added to them.
    """

    encoder: nn.ModuleList
    middle: nn.Module
    decoder: nn.ModuleList
    add_encoder: ClassVar[bool] = False

    def __init__(self) -> None:
        """Add the pooling pair, which has no parameters and serves every level."""
        super().__init__()
        self.pool = IndexedMaxPool2d()
        self.unpool = MaxUnpool2d()
        self.middle = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,H,W."""
        pooled = []
        for encode in self.encoder:
            before = encode(x)
            x, indices = self.pool(before)
            pooled.append((indices, before))
        x = self.middle(x)
        for decode, (indices, before) in zip(self.decoder, reversed(pooled), strict=True):
            x = decode(self.unpool(x, indices, before))
            if self.add_encoder:
                x = x + before
        return self.classifier(x)


class SegNet(IndexUnpooling):
    """VGG16 encoder whose pooling indices drive the decoder's un-pooling (section 3, figure 2).

    Deviations: convolutions carry no bias, since BN follows; the input is normalized by mean and
    standard deviation in place of local response normalization (both are in the prototxts).
    """

    source = "SegNet (arXiv 1511.00561), VGG16 encoder"
    suits = "comparing with the paper; VGG16 is too heavy for a small board"
    stride = 32
    vgg_dense = ()

    def __init__(self, n_classes: int, *, output_stride: int = stride, width: float = 1.0) -> None:
        """Build the network; `width` scales every hidden channel count.

        Raises:
            SpecError: `output_stride` is not 32, or `width` leaves fewer than 8 channels.
        """
        super().__init__()
        self.check_stride(output_stride, (self.stride,))
        groups = vgg_groups(width)
        self.encoder = vgg_encoder(groups)
        self.decoder = vgg_decoder(groups)
        self.classifier = nn.Conv2d(groups[0][0], n_classes, 3, padding=1)
        initialize(self, [self.classifier])
