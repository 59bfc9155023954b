"""Every architecture, small enough for a test: the same layers with few channels."""

from edgeseg.core.spec import ModelSpec
from edgeseg.host.models import MODELS

VGG = {"width": 0.125, "fc_channels": 16}
ASPP = {"width": 0.125, "aspp_channels": 16}
PLUS = {**ASPP, "decoder_channels": 16, "low_channels": 8}
BASIC = {"channels": 8, "kernel": 3}

SMALL: dict[str, dict[str, object]] = {
    # At an eighth of the width one rounding tie can change all of a frame.
    "deeplabv3plus-mobilenetv2": {**PLUS, "width": 0.25},
    "deeplabv3plus-efficientnetlite0": {**PLUS, "width": 0.25},
    "deeplabv3plus-efficientnetlite2": {**PLUS, "width": 0.25},
    "deeplabv3plus-resnet50": PLUS,
    "deeplabv3plus-resnet101": PLUS,
    "deeplabv3plus-xception": PLUS,
    "deeplabv3-mobilenetv2": ASPP,
    "deeplabv3-resnet50": ASPP,
    "deeplabv3-resnet101": ASPP,
    "deeplabv3-xception": ASPP,
    "deeplabv2-resnet101": {"width": 0.125},
    "deeplab-largefov": VGG,
    "segnet": {"width": 0.125},
    "deconvnet": VGG,
    "fcn-32s": VGG,
    "fcn-16s": VGG,
    "fcn-8s": VGG,
    "unet": {"width": 0.125},
    "bilinear-interpolation": BASIC,
    "segnet-basic": BASIC,
    "segnet-basic-encoderaddition": BASIC,
    "segnet-basic-singlechanneldecoder": BASIC,
    "fcn-basic": BASIC,
    "fcn-basic-noaddition": BASIC,
    "fcn-basic-nodimreduction": BASIC,
    "fcn-basic-noaddition-nodimreduction": BASIC,
}


def small(arch: str, *, size_hw: tuple[int, int] = (64, 96), **changes: object) -> ModelSpec:
    """The spec of a small network; `changes` are further options of the architecture."""
    return ModelSpec(
        arch,
        size_hw=size_hw,
        output_stride=MODELS[arch].stride,
        options={**SMALL[arch], **changes},
    )
