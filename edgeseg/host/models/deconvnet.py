"""DeconvNet (arXiv 1505.04366)."""

from __future__ import annotations

from torch import nn

from edgeseg.host.models.backbones.vgg import conv_stack, vgg_decoder, vgg_encoder, vgg_groups
from edgeseg.host.models.blocks import ConvBNReLU, initialize
from edgeseg.host.models.segnet import IndexUnpooling


class DeconvNet(IndexUnpooling):
    """VGG16 with its fully connected layers, mirrored, un-pooling by indices (section 3, figure 2).

    Parameters, from table 2 of the paper: 14.7 M in the 13 convolutions, 102.8 M in fc6
    (7x7x512x4096), 16.8 M in fc7, 102.8 M in deconv-fc6, 14.7 M in the mirror image: 251.8 M,
    1007 MB as FP32. The SegNet paper prints 877 MB in table 6, 13 % less, and says in section 4
    that it restricted the fully connected layers to 1024: that leaves 81.9 M, 328 MB. Its figure
    is neither, and no layer has the 32.5 M parameters that it lacks; the count here is the
    DeconvNet paper's. `fc_channels=1024` is the network that the SegNet paper says it trained.

    Deviations: all of the transposed convolutions have stride 1, where they compute what a
    convolution with the flipped kernel computes, and are built as such: INT8 then has one weight
    scale a channel. fc6 pads by 3, so that any image size fits; the paper's 224x224 crops shrink
    to 1x1 there. One-stage training, no object proposals.
    """

    source = "DeconvNet (arXiv 1505.04366), VGG16 encoder"
    suits = "comparing with the paper; large and slow, not for a board"
    stride = 32
    vgg_dense = ("middle.0", "middle.1")

    def __init__(
        self,
        n_classes: int,
        *,
        output_stride: int = stride,
        width: float = 1.0,
        fc_channels: int = 4096,
    ) -> None:
        """Build the network; `width` scales the convolutions, `fc_channels` is fc6's and fc7's.

        Raises:
            SpecError: `output_stride` is not 32, or `width` leaves fewer than 8 channels.
        """
        super().__init__()
        self.check_stride(output_stride, (self.stride,))
        groups = vgg_groups(width)
        deepest, shallowest = groups[-1][-1], groups[0][0]
        self.encoder = vgg_encoder(groups)
        self.middle = nn.Sequential(
            ConvBNReLU(deepest, fc_channels, 7),
            ConvBNReLU(fc_channels, fc_channels, 1),
            ConvBNReLU(fc_channels, deepest, 7),
        )
        self.decoder = vgg_decoder(groups)
        # The paper's last stage has both of its layers before a 1x1 classifier, SegNet's one.
        self.decoder[-1] = conv_stack(groups[0][-1], [shallowest, shallowest])
        self.classifier = nn.Conv2d(shallowest, n_classes, 1)
        initialize(self, [self.classifier])
