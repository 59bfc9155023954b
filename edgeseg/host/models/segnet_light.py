"""SegNet with a light encoder: inverted residuals that pool by index, and their mirror image.

An inverted residual widens its map by a 1x1 convolution, filters each channel by itself and narrows
the result again. Here the encoder's blocks that halve the map do so by indexed 2x2 max-pooling
where they are widest, and each decoder block widens to as many channels, un-pools them by those
indices, filters and narrows. Only the indices, two bits each, cross from encoder to decoder.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.errors import SpecError
from edgeseg.host.models.aspp import ASPP
from edgeseg.host.models.backbones.base import OnBackbone
from edgeseg.host.models.backbones.inverted_residual import InvertedResidual, InvertedResidualNet
from edgeseg.host.models.blocks import ConvBNReLU, MaxUnpool2d, initialize

# How a decoder block doubles its map, and what it takes from the encoder to do so.
UPSAMPLING = ("indices", "bilinear", "skip", "addition")
UNPOOLS = ("indices", "addition")
ADDS = ("skip", "addition")
# At stride 32 a 360x480 frame is 12x15 cells: these see it whole.
CONTEXT_RATES = (2, 4)
REFINEMENT = 2


class UnpoolBlock(nn.Module):
    """The mirror image of a pooled inverted residual: widen, double the map, filter, narrow.

    An inverted residual of its own refines what comes out.

    Source: SegNet (arXiv 1511.00561), section 3, for the un-pooling; MobileNetV2 (arXiv
    1801.04381), section 3, for the block.
    """

    def __init__(
        self, in_channels: int, hidden: int, out_channels: int, *, upsampling: str
    ) -> None:
        """Build the block; `hidden` is the width of the encoder's block at its pooling."""
        super().__init__()
        self.upsampling = upsampling
        self.expand = ConvBNReLU(in_channels, hidden, 1)
        self.unpool = MaxUnpool2d()
        self.depthwise = ConvBNReLU(hidden, hidden, 3, groups=hidden)
        self.project = ConvBNReLU(hidden, out_channels, 1, relu=False)
        self.refine = InvertedResidual(out_channels, out_channels, REFINEMENT, stride=1, dilation=1)

    def forward(self, x: torch.Tensor, indices: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Map N,in,h,w to N,out,H,W, the height and width of `before`.

        Args:
            x: the deeper map.
            indices: of the encoder's pooling, N,hidden,h,w.
            before: what that pooling read, N,hidden,H,W. Un-pooling and bilinear interpolation
                take its size alone.
        """
        x = self.expand(x)
        if self.upsampling in UNPOOLS:
            x = self.unpool(x, indices, before)
        else:
            x = F.interpolate(x, size=before.shape[-2:], mode="bilinear", align_corners=False)
        if self.upsampling in ADDS:
            x = x + before
        return self.refine(self.project(self.depthwise(x)))


class SegNetLight(OnBackbone):
    """SegNet (section 3) on a network of inverted residuals, separable throughout.

    Deviations: the encoder pools where the decoder un-pools and keeps its strides elsewhere, by
    default the deepest three of five halvings, so that the logits leave at a quarter of the frame's
    size, as DeepLabv3+'s do; the fourth costs as much time as the three. An ASPP with image pooling
    stands between encoder and decoder.

    `upsampling` is for comparison: "indices" is SegNet's; "bilinear" takes nothing from the
    encoder; "skip" adds the encoder's maps to interpolated ones (as FCN), "addition" to un-pooled
    ones (as SegNet-Basic-EncoderAddition), and both keep those maps in full.
    """

    source = "SegNet (arXiv 1511.00561)"
    suits = "a SegNet that a board can run: un-pooling on a light encoder"
    stride = 32
    backbone_type: ClassVar[type[InvertedResidualNet]]
    backbone: InvertedResidualNet

    def __init__(
        self,
        n_classes: int,
        *,
        output_stride: int = stride,
        aspp_channels: int = 128,
        decoder_channels: int = 32,
        unpool_stages: int = 3,
        upsampling: str = "indices",
        dropout: float = 0.1,
        width: float = 1.0,
    ) -> None:
        """Build encoder and decoder.

        Args:
            n_classes: maps of the classifier.
            output_stride: 16 or 32; at 16 the last stride becomes a dilation.
            aspp_channels: of the deepest map after its context.
            decoder_channels: of a decoder block that doubled a map of stride 4; blocks at
                larger strides have twice, three and four times as many.
            unpool_stages: decoder blocks, from the deepest; each one more doubles the logits' size.
            upsampling: one of UPSAMPLING.
            dropout: before the classifier and in the ASPP.
            width: scales the encoder.

        Raises:
            SpecError: an option has another value than those above.
        """
        super().__init__()
        self.check_stride(output_stride, (16, 32))
        if upsampling not in UPSAMPLING:
            raise SpecError(f"upsampling {upsampling!r} is not one of {', '.join(UPSAMPLING)}")
        halvings = output_stride.bit_length() - 2
        if unpool_stages > halvings:
            raise SpecError(
                f"unpool_stages {unpool_stages} is not 1 to {halvings}, the halvings after the "
                f"stem at output stride {output_stride}"
            )
        self.upsampling = upsampling
        self.backbone = self.backbone_type(output_stride, width=width, indexed=unpool_stages)
        self.context = ASPP(
            self.backbone.out_channels, aspp_channels, CONTEXT_RATES, dropout, separable=True
        )
        self.decoder = nn.ModuleList()
        channels = aspp_channels
        for above, pooled in enumerate(reversed(self.backbone.poolings())):
            wide = (halvings - above) * decoder_channels
            self.decoder.append(UnpoolBlock(channels, pooled.hidden, wide, upsampling=upsampling))
            channels = wide
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Conv2d(channels, n_classes, 1)
        initialize(self, [self.classifier])

    @property
    def uses_indices(self) -> bool:
        """Whether pooling indices wait for the decoder."""
        return self.upsampling in UNPOOLS

    @property
    def kept(self) -> list[nn.Module]:
        """The layers whose maps wait for the decoder, where it adds them."""
        adds = self.upsampling in ADDS
        return [block.body[-2] for block in self.backbone.poolings()] if adds else []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits, by default N,K,ceil(H/4),ceil(W/4)."""
        x, seen = self.backbone.pooled(x)
        x = self.context(x)
        for block, (indices, before) in zip(self.decoder, reversed(seen), strict=True):
            x = block(x, indices, before)
        return self.classifier(self.dropout(x))
