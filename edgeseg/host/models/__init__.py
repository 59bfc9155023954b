"""The architectures: name -> class. A new one is one class here and one line in MODELS."""

from __future__ import annotations

from edgeseg.core.spec import ModelSpec
from edgeseg.core.suggest import unknown
from edgeseg.errors import SpecError
from edgeseg.host.models.blocks import Segmenter
from edgeseg.host.models.deconvnet import DeconvNet
from edgeseg.host.models.deeplab import DeepLabLargeFOV, DeepLabV2
from edgeseg.host.models.deeplabv3 import (
    DeepLabV3MobileNetV2,
    DeepLabV3ResNet50,
    DeepLabV3ResNet101,
    DeepLabV3Xception,
)
from edgeseg.host.models.deeplabv3plus import (
    DeepLabV3PlusEfficientNetLite0,
    DeepLabV3PlusEfficientNetLite2,
    DeepLabV3PlusMobileNetV2,
    DeepLabV3PlusResNet50,
    DeepLabV3PlusResNet101,
    DeepLabV3PlusXception,
)
from edgeseg.host.models.fcn import FCN8s, FCN16s, FCN32s
from edgeseg.host.models.segnet import SegNet
from edgeseg.host.models.segnet_basic import (
    BilinearInterpolation,
    FCNBasic,
    FCNBasicNoAddition,
    FCNBasicNoAdditionNoDimReduction,
    FCNBasicNoDimReduction,
    SegNetBasic,
    SegNetBasicEncoderAddition,
    SegNetBasicSingleChannelDecoder,
)
from edgeseg.host.models.settings import check_settings
from edgeseg.host.models.unet import UNet

MODELS: dict[str, type[Segmenter]] = {
    "deeplabv3plus-mobilenetv2": DeepLabV3PlusMobileNetV2,
    "deeplabv3plus-efficientnetlite0": DeepLabV3PlusEfficientNetLite0,
    "deeplabv3plus-efficientnetlite2": DeepLabV3PlusEfficientNetLite2,
    "deeplabv3plus-resnet50": DeepLabV3PlusResNet50,
    "deeplabv3plus-resnet101": DeepLabV3PlusResNet101,
    "deeplabv3plus-xception": DeepLabV3PlusXception,
    "deeplabv3-mobilenetv2": DeepLabV3MobileNetV2,
    "deeplabv3-resnet50": DeepLabV3ResNet50,
    "deeplabv3-resnet101": DeepLabV3ResNet101,
    "deeplabv3-xception": DeepLabV3Xception,
    "deeplabv2-resnet101": DeepLabV2,
    "deeplab-largefov": DeepLabLargeFOV,
    "segnet": SegNet,
    "deconvnet": DeconvNet,
    "fcn-32s": FCN32s,
    "fcn-16s": FCN16s,
    "fcn-8s": FCN8s,
    "unet": UNet,
    "bilinear-interpolation": BilinearInterpolation,
    "segnet-basic": SegNetBasic,
    "segnet-basic-encoderaddition": SegNetBasicEncoderAddition,
    "segnet-basic-singlechanneldecoder": SegNetBasicSingleChannelDecoder,
    "fcn-basic": FCNBasic,
    "fcn-basic-noaddition": FCNBasicNoAddition,
    "fcn-basic-nodimreduction": FCNBasicNoDimReduction,
    "fcn-basic-noaddition-nodimreduction": FCNBasicNoAdditionNoDimReduction,
}


def build_model(spec: ModelSpec) -> Segmenter:
    """Build the network of a spec with fresh weights.

    Returns:
        A module from normalised float N,3,H,W to logits N,K,h,w; `.classifier` is its last layer.

    Raises:
        SpecError: the architecture is unknown (the nearest is offered) or refuses an option or its
            value.
    """
    if spec.arch not in MODELS:
        raise SpecError(unknown("model", spec.arch, MODELS))
    check_settings(spec.arch, spec.options)
    try:
        return MODELS[spec.arch](
            spec.n_classes, output_stride=spec.output_stride, **dict(spec.options)
        )
    except (TypeError, ValueError, RuntimeError) as error:
        raise SpecError(f"{spec.arch} refuses options {dict(spec.options)}: {error}") from error
