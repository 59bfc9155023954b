"""The architectures by name: heads on backbones, and networks of one piece."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from edgeseg.core.registry import Registry
from edgeseg.core.suggest import unknown
from edgeseg.errors import SpecError

if TYPE_CHECKING:
    from edgeseg.core.spec import ModelSpec
    from edgeseg.host.models.blocks import Segmenter

_HERE = "edgeseg.host.models"
# 2 GB of float weights, eight times the largest of MODELS.
MOST_PARAMETERS = 500_000_000

BACKBONES = Registry(
    "backbone",
    "backbones",
    {
        "mobilenetv2": f"{_HERE}.backbones.inverted_residual:MobileNetV2",
        "efficientnetlite0": f"{_HERE}.backbones.inverted_residual:EfficientNetLite0",
        "efficientnetlite2": f"{_HERE}.backbones.inverted_residual:EfficientNetLite2",
        "resnet50": f"{_HERE}.backbones.resnet:ResNet50",
        "resnet101": f"{_HERE}.backbones.resnet:ResNet101",
        "xception": f"{_HERE}.backbones.xception:AlignedXception",
    },
)

# Each is a network on every backbone, but for those of ONLY_ON.
HEADS = Registry(
    "head",
    "heads",
    {
        "deeplabv3plus": f"{_HERE}.deeplabv3plus:DeepLabV3Plus",
        "deeplabv3": f"{_HERE}.deeplabv3:DeepLabV3",
        "segnet": f"{_HERE}.segnet_light:SegNetLight",
    },
)
# A head that is no network on every backbone: SegNet's un-pooling needs what inverted residuals
# pool.
ONLY_ON = {"segnet": ("mobilenetv2", "efficientnetlite0", "efficientnetlite2")}


class Models(Registry):
    """The registry of networks: HEAD-BACKBONE for every pair that fits, then those of one piece."""

    def _pairs(self) -> dict[str, tuple[str, str]]:
        return {
            f"{head}-{backbone}": (head, backbone)
            for head in HEADS
            for backbone in ONLY_ON.get(head, BACKBONES)
        }

    def _entries(self) -> dict[str, str]:
        pairs = {
            name: f"{HEADS[head]} on {BACKBONES[backbone]}"
            for name, (head, backbone) in self._pairs().items()
        }
        return {**pairs, **{k: v for k, v in super()._entries().items() if k not in pairs}}

    def load(self, name: str) -> type[Segmenter]:
        """Import and return the network class of a name.

        Raises:
            UsageError: the name is unknown, or an installed package's entry cannot be imported.
            ImportError: torch is not installed.
        """
        pair = self._pairs().get(name)
        if pair is None:
            network: type[Segmenter] = super().load(name)
            return network
        from edgeseg.host.models.backbones.base import on_backbone

        return on_backbone(HEADS.load(pair[0]), BACKBONES.load(pair[1]))

    def classes(self) -> Iterator[tuple[str, type[Segmenter]]]:
        """Yield every name with its network class."""
        for name in self:
            yield name, self.load(name)


MODELS = Models(
    "model",
    "models",
    {
        "deeplabv2-resnet101": f"{_HERE}.deeplab:DeepLabV2",
        "deeplab-largefov": f"{_HERE}.deeplab:DeepLabLargeFOV",
        "segnet": f"{_HERE}.segnet:SegNet",
        "deconvnet": f"{_HERE}.deconvnet:DeconvNet",
        "fcn-32s": f"{_HERE}.fcn:FCN32s",
        "fcn-16s": f"{_HERE}.fcn:FCN16s",
        "fcn-8s": f"{_HERE}.fcn:FCN8s",
        "unet": f"{_HERE}.unet:UNet",
        "bilinear-interpolation": f"{_HERE}.segnet_basic:BilinearInterpolation",
        "segnet-basic": f"{_HERE}.segnet_basic:SegNetBasic",
        "segnet-basic-encoderaddition": f"{_HERE}.segnet_basic:SegNetBasicEncoderAddition",
        "segnet-basic-singlechanneldecoder": (
            f"{_HERE}.segnet_basic:SegNetBasicSingleChannelDecoder"
        ),
        "fcn-basic": f"{_HERE}.segnet_basic:FCNBasic",
        "fcn-basic-noaddition": f"{_HERE}.segnet_basic:FCNBasicNoAddition",
        "fcn-basic-nodimreduction": f"{_HERE}.segnet_basic:FCNBasicNoDimReduction",
        "fcn-basic-noaddition-nodimreduction": (
            f"{_HERE}.segnet_basic:FCNBasicNoAdditionNoDimReduction"
        ),
    },
)


def build_model(spec: ModelSpec) -> Segmenter:
    """Build the network of a spec with fresh weights.

    Returns:
        A module from normalized float N,3,H,W to logits N,K,h,w; `.classifier` is its last layer.

    Raises:
        SpecError: the architecture is unknown (the nearest is offered), refuses an option or its
            value, or would have more than MOST_PARAMETERS.
    """
    import torch

    from edgeseg.host.models.settings import check_settings

    if spec.arch not in MODELS:
        raise SpecError(unknown("model", spec.arch, MODELS))
    check_settings(spec.arch, spec.options)
    network = MODELS.load(spec.arch)
    options = dict(spec.options)
    try:
        if options and torch.get_default_device().type != "meta":
            # Without memory first: a checkpoint of 1 KB can ask for a network of 400 TB.
            with torch.device("meta"):
                sized = network(spec.n_classes, output_stride=spec.output_stride, **options)
            count = sum(each.numel() for each in sized.parameters())
            if count > MOST_PARAMETERS:
                raise ValueError(f"{count:,} parameters, at most {MOST_PARAMETERS:,} are built")
        return network(spec.n_classes, output_stride=spec.output_stride, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise SpecError(f"{spec.arch} refuses options {dict(spec.options)}: {error}") from error
