"""Every architecture, small enough for a test: the same layers with few channels."""

import inspect

from edgeseg.core.spec import ModelSpec
from edgeseg.host.models import MODELS
from edgeseg.host.models.backbones.inverted_residual import InvertedResidualNet

# What an option is in a small network, for every architecture that has the option.
SMALL: dict[str, object] = {
    "width": 0.125,
    "fc_channels": 16,
    "aspp_channels": 16,
    "decoder_channels": 16,
    "low_channels": 8,
    "channels": 8,
    "kernel": 3,
}


def small_options(arch: str) -> dict[str, object]:
    """The options of a small network: those of SMALL that its constructor takes."""
    network = MODELS.load(arch)
    taken = inspect.signature(network).parameters
    options = {name: value for name, value in SMALL.items() if name in taken}
    backbone = getattr(network, "backbone_type", None)
    if "decoder_channels" in taken and backbone and issubclass(backbone, InvertedResidualNet):
        # At an eighth of the width one rounding tie can change all of a frame.
        options["width"] = 0.25
    return options


def small(arch: str, *, size_hw: tuple[int, int] = (64, 96), **changes: object) -> ModelSpec:
    """The spec of a small network; `changes` are further options of the architecture."""
    return ModelSpec(
        arch,
        size_hw=size_hw,
        output_stride=MODELS.load(arch).stride,
        options={**small_options(arch), **changes},
    )
