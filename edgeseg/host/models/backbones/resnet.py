"""ResNet-50 and ResNet-101 as dilated feature extractors (arXiv 1512.03385, table 1)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import nn

from edgeseg.host.models.backbones.base import Backbone, own_names
from edgeseg.host.models.blocks import check_width

EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a skip; layer names are torchvision's, so that its weights load as named.

    Deviation: the 3x3 convolution strides, not the first 1x1 (as in most later work).
    """

    def __init__(
        self, in_channels: int, channels: int, *, stride: int = 1, dilation: int = 1
    ) -> None:
        """Build the block; it gives `channels * EXPANSION` maps."""
        super().__init__()
        out = channels * EXPANSION
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(
            channels, channels, 3, stride=stride, padding=dilation, dilation=dilation, bias=False
        )
        self.bn2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,in,H,W to N,4*channels,ceil(H/stride),ceil(W/stride)."""
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class ResNet(Backbone):
    """Feature extractor returning the stride-4 and the deepest feature maps.

    Attributes:
        blocks: bottlenecks of the four stages.
    """

    blocks: ClassVar[tuple[int, int, int, int]]
    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, output_stride: int = 16, *, width: float = 1.0) -> None:
        """Build the network; strides beyond `output_stride` become dilations (atrous).

        Raises:
            SpecError: `output_stride` is not 8, 16 or 32, or `width` leaves fewer than 8 channels.
        """
        super().__init__()
        self.check_stride(output_stride, (8, 16, 32))
        check_width(width, 64)
        base = int(64 * width)
        self.low_channels, self.out_channels = base * EXPANSION, 8 * base * EXPANSION
        self.conv1 = nn.Conv2d(3, base, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(base)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, padding=1)
        channels, current_stride, dilation = base, 4, 1
        for stage, count in enumerate(self.blocks):
            step, first_dilation = (1 if stage == 0 else 2), dilation
            if step == 2 and current_stride == output_stride:
                # The first block keeps the dilation of the stage before: its input is not sparse.
                step, dilation = 1, dilation * 2
            current_stride *= step
            width_here = base * 2**stage
            layers = [Bottleneck(channels, width_here, stride=step, dilation=first_dilation)]
            channels = width_here * EXPANSION
            layers += [
                Bottleneck(channels, width_here, dilation=dilation) for _ in range(count - 1)
            ]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features at stride 4 and at the output stride."""
        low = self.layer1(self.maxpool(self.relu(self.bn1(self.conv1(x)))))
        return low, self.layer4(self.layer3(self.layer2(low)))

    def published_names(self) -> dict[str, str]:
        """Return torchvision's names, which are ours."""
        return own_names(self)


class ResNet50(ResNet):
    """23.5 M parameters without the classifier."""

    source = "ResNet-50 (arXiv 1512.03385)"
    suits = "a workstation or a large board"
    blocks = (3, 4, 6, 3)


class ResNet101(ResNet):
    """42.5 M parameters without the classifier."""

    source = "ResNet-101 (arXiv 1512.03385)"
    suits = "a workstation; the most accurate and the slowest"
    blocks = (3, 4, 23, 3)
