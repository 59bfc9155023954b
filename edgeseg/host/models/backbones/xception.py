"""Modified aligned Xception as a dilated feature extractor (arXiv 1802.02611, figure 4)."""

from __future__ import annotations

import torch
from torch import nn

from edgeseg.host.models.backbones.base import Backbone
from edgeseg.host.models.blocks import ConvBNReLU, SeparableConv, check_width

MIDDLE_BLOCKS = 16


class SeparableResidual(nn.Module):
    """Three separable convolutions, the last one strided, and a skip.

    Deviation: the separable convolutions end in ReLU and the sum has none before it; the original
    applies ReLU before each of them. The order here fuses in every runtime: convolution + add.
    """

    def __init__(
        self, in_channels: int, widths: tuple[int, int, int], *, stride: int = 1, dilation: int = 1
    ) -> None:
        """Build the block; the skip is a 1x1 convolution where shapes differ."""
        super().__init__()
        first, second, third = widths
        self.body = nn.Sequential(
            SeparableConv(in_channels, first, dilation=dilation),
            SeparableConv(first, second, dilation=dilation),
            ConvBNReLU(second, second, 3, stride=stride, dilation=dilation, groups=second),
            ConvBNReLU(second, third, 1, relu=False),
        )
        self.skip: nn.Module = nn.Identity()
        if stride != 1 or in_channels != third:
            self.skip = ConvBNReLU(in_channels, third, 1, stride=stride, relu=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,in,H,W to N,widths[2],ceil(H/stride),ceil(W/stride)."""
        return self.relu(self.body(x) + self.skip(x))


class AlignedXception(Backbone):
    """Entry flow of two convolutions and three blocks, 16 middle blocks, exit flow.

    Deviation: the low-level map is the first entry block's (128 channels), a block earlier than
    the original's.
    """

    source = "aligned Xception (arXiv 1802.02611)"
    suits = "a workstation; the paper's encoder, without published weights here"

    def __init__(self, output_stride: int = 16, *, width: float = 1.0) -> None:
        """Build the network; strides beyond `output_stride` become dilations (atrous).

        Raises:
            SpecError: `output_stride` is not 8 or 16, or `width` leaves fewer than 8 channels.
        """
        super().__init__()
        self.check_stride(output_stride, (8, 16))
        check_width(width, 64)

        def of(*channels: int) -> tuple[int, ...]:
            return tuple(max(8, int(c * width)) for c in channels)

        c32, c64, c128, c256, c728 = of(32, 64, 128, 256, 728)
        c1024, c1536, c2048 = of(1024, 1536, 2048)
        self.low_channels, self.out_channels = c128, c2048
        # Entry block 3 strides at output stride 16 only; the exit block never does.
        entry_stride, middle, last = (2, 1, 2) if output_stride == 16 else (1, 2, 4)
        self.low_level = nn.Sequential(
            ConvBNReLU(3, c32, 3, stride=2),
            ConvBNReLU(c32, c64, 3),
            SeparableResidual(c64, (c128, c128, c128), stride=2),
        )
        self.high_level = nn.Sequential(
            SeparableResidual(c128, (c256, c256, c256), stride=2),
            SeparableResidual(c256, (c728, c728, c728), stride=entry_stride),
            *(
                SeparableResidual(c728, (c728, c728, c728), dilation=middle)
                for _ in range(MIDDLE_BLOCKS)
            ),
            SeparableResidual(c728, (c728, c1024, c1024), dilation=middle),
            SeparableConv(c1024, c1536, dilation=last),
            SeparableConv(c1536, c1536, dilation=last),
            SeparableConv(c1536, c2048, dilation=last),
        )

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features at stride 4 and at the output stride."""
        low = self.low_level(x)
        return low, self.high_level(low)
