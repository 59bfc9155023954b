"""VGG16's convolutions (arXiv 1409.1556, configuration D), the encoder of five architectures."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from edgeseg.host.models.backbones.base import renamed_norm
from edgeseg.host.models.blocks import ConvBNReLU, check_width

# Channels of the 13 convolutions by pooling group.
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


def vgg_groups(width: float) -> list[list[int]]:
    """Return VGG16's channels by pooling group, each times `width`.

    Raises:
        SpecError: `width` leaves fewer than 8 channels.
    """
    check_width(width, VGG16[0][0])
    return [[int(c * width) for c in group] for group in VGG16]


def conv_stack(in_channels: int, widths: Sequence[int], *, dilation: int = 1) -> nn.Sequential:
    """Return 3x3 convolutions with BN and ReLU, one for each of `widths`, that keep the size."""
    layers = []
    for width in widths:
        layers.append(ConvBNReLU(in_channels, width, 3, dilation=dilation))
        in_channels = width
    return nn.Sequential(*layers)


def vgg_encoder(groups: Sequence[Sequence[int]]) -> nn.ModuleList:
    """Return one stack for each pooling group, from the image down; pooling is the caller's."""
    inputs = [3, *(group[-1] for group in groups[:-1])]
    return nn.ModuleList(conv_stack(c, group) for c, group in zip(inputs, groups, strict=True))


def vgg_decoder(groups: Sequence[Sequence[int]]) -> nn.ModuleList:
    """Return the mirror image of vgg_encoder, from the deepest map up.

    Group i ends in the channels that group i-1 pooled; the last one gives the classifier's input
    and has one convolution fewer, since the classifier takes its place.
    """
    stacks = []
    for level in range(len(groups) - 1, 0, -1):
        stacks.append(conv_stack(groups[level][-1], [*groups[level][:-1], groups[level - 1][-1]]))
    stacks.append(conv_stack(groups[0][-1], groups[0][:-1]))
    return nn.ModuleList(stacks)


def vgg_names(*, batch_norm: bool) -> dict[str, str]:
    """Return our name -> torchvision's for every tensor of the encoder but the norms' counters.

    Args:
        batch_norm: whether the file is of vgg16_bn rather than vgg16.
    """
    names = {}
    index = 0
    for number, group in enumerate(VGG16):
        for layer in range(len(group)):
            ours = f"encoder.{number}.{layer}"
            names[f"{ours}.0.weight"] = f"features.{index}.weight"
            if batch_norm:
                names |= renamed_norm(f"{ours}.1", f"features.{index + 1}")
            index += 3 if batch_norm else 2
        index += 1
    return names
