"""Building blocks that several architectures share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.errors import SpecError


class Segmenter(nn.Module):
    """What every entry of MODELS is.

    Attributes:
        source: the paper, for `edgeseg models`.
        suits: what or whom it is for, in a few words, for `edgeseg models NAME`.
        stride: its output stride where none is asked for.
        classifier: the last layer, which gives one map per class and stays in float.
        vgg_dense: None without a VGG16 encoder `encoder`; else the layers that take the weights of
            VGG16's fc6 and fc7, as far as the network has them.
    """

    source: ClassVar[str]
    suits: ClassVar[str] = ""
    stride: ClassVar[int]
    vgg_dense: ClassVar[tuple[str, ...] | None] = None
    classifier: nn.Conv2d | nn.ConvTranspose2d

    def check_stride(self, given: int, allowed: tuple[int, ...]) -> None:
        """Refuse an output stride that the architecture does not have.

        Raises:
            SpecError: `given` is not among `allowed`.
        """
        if not isinstance(given, int) or given not in allowed:
            choice = " or ".join(str(stride) for stride in allowed)
            raise SpecError(
                f"output_stride {given!r} is not {choice}, which {type(self).__name__} has"
            )


def check_width(width: float, narrowest: int) -> None:
    """Refuse a width multiplier that leaves the narrowest layer fewer than 8 channels.

    Raises:
        SpecError: `narrowest * width` is below 8.
    """
    if narrowest * width < 8:
        raise SpecError(
            f"width {width} leaves fewer than 8 channels; give {8 / narrowest:g} or more"
        )


class ConvBNReLU(nn.Sequential):
    """Convolution without bias, batch normalization and, unless switched off, ReLU.

    Padding keeps the size at stride 1 and gives ceil(size / 2) at stride 2.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int = 3,
        *,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
        """Build the layers; `groups == in_channels` makes the convolution depthwise."""
        layers: list[nn.Module] = [
            nn.Conv2d(
                in_channels,
                out_channels,
                kernel,
                stride=stride,
                padding=dilation * (kernel - 1) // 2,
                dilation=dilation,
                groups=groups,
                bias=False,
            ),
            nn.BatchNorm2d(out_channels),
        ]
        if relu:
            layers.append(nn.ReLU(inplace=True))
        super().__init__(*layers)


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 (possibly atrous), then pointwise 1x1, each with BN and ReLU.

    Source: DeepLabv3+, arXiv 1802.02611, section 3.1 (atrous separable convolution).
    """

    def __init__(self, in_channels: int, out_channels: int, *, dilation: int = 1) -> None:
        """Build the two convolutions."""
        super().__init__(
            ConvBNReLU(in_channels, in_channels, 3, dilation=dilation, groups=in_channels),
            ConvBNReLU(in_channels, out_channels, 1),
        )


class IndexedMaxPool2d(nn.Module):
    """2x2 stride-2 max pooling that also returns its argmax indices, ceil mode.

    A leaf of its own so that tracing, pruning and export can treat the index path as one thing.
    Source: SegNet, arXiv 1511.00561, section 3.
    """

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Pool N,C,H,W to N,C,ceil(H/2),ceil(W/2); return values and flat int64 indices."""
        return F.max_pool2d(x, 2, 2, ceil_mode=True, return_indices=True)


class MaxUnpool2d(nn.Module):
    """Puts values back where an IndexedMaxPool2d took them from, zeros elsewhere."""

    def forward(
        self, values: torch.Tensor, indices: torch.Tensor, like: torch.Tensor
    ) -> torch.Tensor:
        """Un-pool N,C,h,w to the height and width of `like` (the pooling's input)."""
        return F.max_unpool2d(values, indices, (2, 2), (2, 2), output_size=like.shape[-2:])


def learnt_upsampling(channels: int, factor: int, kernel: int) -> nn.ConvTranspose2d:
    """Return a full (not grouped) transposed convolution that maps h to h * factor exactly.

    `kernel - factor` is even and not negative. See start_bilinear.
    """
    return nn.ConvTranspose2d(
        channels, channels, kernel, stride=factor, padding=(kernel - factor) // 2, bias=False
    )


@torch.no_grad()
def start_bilinear(*layers: nn.Module) -> None:
    """Make learnt upsampling start as bilinear interpolation of each channel by itself.

    Source: FCN, arXiv 1411.4038, section 3.3.
    """
    for layer in layers:
        if isinstance(layer, nn.ConvTranspose2d):
            kernel, factor = layer.kernel_size[0], layer.stride[0]
            away = (torch.arange(kernel, dtype=torch.float32) - (kernel - 1) / 2).abs()
            ramp = (1 - away / factor).clamp_min(0).to(layer.weight)
            layer.weight.zero_()
            diagonal = range(layer.in_channels)
            layer.weight[diagonal, diagonal] = torch.outer(ramp, ramp)


def crop_like(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Cut N,C,H,W at its lower right to the height and width of `like`.

    Pooling in ceil mode takes 45 lines to 23, and upsampling by two gives 46 back.
    """
    return x[:, :, : like.shape[-2], : like.shape[-1]]


def initialize(module: nn.Module, scores: Iterable[nn.Module]) -> None:
    """He initialization (fan out) of every convolution, unit BN; He et al. 2015, eq. 14.

    Args:
        module: the network.
        scores: its convolutions that give a map per class, which no BN brings to scale: by their
            fan in, for scores of about 1, so that the first loss is near a guess's, ln K; by He's
            rule DeepLabv3+'s is 8 to 11. Nearer to zero (0.01) a short training ends lower.
    """
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.ones_(layer.weight)
            nn.init.zeros_(layer.bias)
    for layer in scores:
        if isinstance(layer, nn.Conv2d):
            fan_in = layer.weight[0].numel()
            nn.init.normal_(layer.weight, std=fan_in**-0.5)
