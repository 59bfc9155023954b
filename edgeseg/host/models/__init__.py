"""The architectures: name -> class. A new one is one file here and one line in MODELS."""

from __future__ import annotations

from edgeseg.core.nearest import unknown
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import SpecError
from edgeseg.host.models.blocks import Segmenter
from edgeseg.host.models.deeplabv3plus import DeepLabV3Plus
from edgeseg.host.models.segnet import SegNet, SegNetBasic

MODELS: dict[str, type[Segmenter]] = {
    "deeplabv3plus-mobilenetv2": DeepLabV3Plus,
    "segnet": SegNet,
    "segnet-basic": SegNetBasic,
}


def build_model(spec: ModelSpec) -> Segmenter:
    """Build the network of a spec with fresh weights.

    Returns:
        A module from normalised float N,3,H,W to logits N,K,h,w; `.classifier` is its last layer.

    Raises:
        SpecError: the architecture is unknown (the nearest is offered) or refuses an option.
    """
    if spec.arch not in MODELS:
        raise SpecError(unknown("model", spec.arch, MODELS))
    try:
        return MODELS[spec.arch](
            spec.n_classes, output_stride=spec.output_stride, **dict(spec.options)
        )
    except TypeError as error:
        raise SpecError(f"{spec.arch} refuses options {dict(spec.options)}: {error}") from error
