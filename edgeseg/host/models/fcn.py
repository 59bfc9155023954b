"""FCN-32s, 16s and 8s (arXiv 1411.4038)."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.errors import SpecError
from edgeseg.host.models.backbones.vgg import vgg_encoder, vgg_groups
from edgeseg.host.models.blocks import (
    ConvBNReLU,
    Segmenter,
    crop_like,
    initialize,
    learnt_upsampling,
    start_bilinear,
)

UPSAMPLINGS = ("learnt", "fixed")


class FCN(Segmenter):
    """VGG16 with its fully connected layers as convolutions, scored and upsampled by learning.

    Source: sections 3.1 (convolutions for dense layers), 3.3 (upsampling) and 4.2 (skips).

    Deviations: BN after each convolution, so that it trains from scratch; layers pad to keep their
    size, where the original pads the image by 100 and crops; all stages train at once; a skip's
    scores are not scaled down; the last upsampling is learnt too, where the original keeps it
    bilinear.

    With `upsampling="fixed"` it is table 3's "FCN (fixed upsampling)" of the SegNet paper: bilinear
    interpolation between the scores, without parameters. The last step is the caller's resize to
    the frame, so the logits leave at the size of the last skip.

    Attributes:
        skips: how many of pool4 and pool3 are scored and added.
        classifier: what ends the network: the last upsampling, or with fixed upsampling the last
            scores.
    """

    stride = 32
    vgg_dense = ("fc6", "fc7")
    skips: ClassVar[int]

    def __init__(
        self,
        n_classes: int,
        *,
        output_stride: int = stride,
        width: float = 1.0,
        fc_channels: int = 4096,
        dropout: float = 0.5,
        upsampling: str = "learnt",
    ) -> None:
        """Build the network; `width` scales the convolutions, `fc_channels` is fc6's and fc7's.

        Raises:
            SpecError: `output_stride` is not 32, `upsampling` neither "learnt" nor "fixed", or
                `width` leaves fewer than 8 channels.
        """
        super().__init__()
        self.check_stride(output_stride, (self.stride,))
        if upsampling not in UPSAMPLINGS:
            raise SpecError(f"upsampling is {upsampling!r}, expected {' or '.join(UPSAMPLINGS)}")
        groups = vgg_groups(width)
        self.encoder = vgg_encoder(groups)
        self.pool = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.fc6 = ConvBNReLU(groups[-1][-1], fc_channels, 7)
        self.fc7 = ConvBNReLU(fc_channels, fc_channels, 1)
        self.dropout = nn.Dropout(dropout)
        # The deepest map's, then pool4's and pool3's: the next map up ends group len - 2.
        sources = [fc_channels, *(groups[-2 - level][-1] for level in range(self.skips))]
        scores = [nn.Conv2d(channels, n_classes, 1) for channels in sources]
        self.fixed = upsampling == "fixed"
        if self.fixed:
            *inner, self.classifier = scores
            self.scores = nn.ModuleList(inner)
            initialize(self, scores)
            return
        self.score = scores[0]
        self.skip_scores = nn.ModuleList(scores[1:])
        self.upsample = nn.ModuleList(learnt_upsampling(n_classes, 2, 4) for _ in range(self.skips))
        factor = self.stride // 2**self.skips
        self.classifier = learnt_upsampling(n_classes, factor, 2 * factor)
        initialize(self, scores)
        start_bilinear(*self.upsample, self.classifier)

    @property
    def kept(self) -> list[nn.Module]:
        """The layers whose outputs wait for the upsampling: the scores of pool4 and pool3."""
        if self.fixed:
            return [*self.scores, self.classifier][1:]
        return list(self.skip_scores)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map a normalized N,3,H,W image to logits N,K,H,W.

        With fixed upsampling, to N,K and the size of the last skip's map.
        """
        image, pooled = x, []
        for encode in self.encoder:
            x = self.pool(encode(x))
            pooled.append(x)
        x = self.dropout(self.fc7(self.dropout(self.fc6(x))))
        if self.fixed:
            layers: list[nn.Module] = [*self.scores, self.classifier]
            x = layers[0](x)
            for level, score in enumerate(layers[1:]):
                skip = pooled[-2 - level]
                large = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
                x = crop_like(large, skip) + score(skip)
            return x
        x = self.score(x)
        skips = zip(self.upsample, self.skip_scores, strict=True)
        for level, (upsample, score) in enumerate(skips):
            skip = pooled[-2 - level]
            x = crop_like(upsample(x), skip) + score(skip)
        return crop_like(self.classifier(x), image)


class FCN32s(FCN):
    """Upsampling by 32 from the last layer alone."""

    source = "FCN-32s (arXiv 1411.4038), VGG16"
    suits = "comparing with the paper; the coarsest outlines"
    skips = 0


class FCN16s(FCN):
    """The scores of pool4 are added before upsampling by 16."""

    source = "FCN-16s (arXiv 1411.4038), VGG16"
    suits = "comparing with the paper; coarse outlines"
    skips = 1


class FCN8s(FCN):
    """The scores of pool4 and pool3 are added before upsampling by 8.

    134.4 M parameters, 102.8 M of them in fc6: 537 MB as FP32, where table 6 of the SegNet paper
    gives 539 MB.
    """

    source = "FCN-8s (arXiv 1411.4038), VGG16"
    suits = "comparing with the paper; large, little detail"
    skips = 2
