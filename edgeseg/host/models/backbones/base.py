"""What a backbone is, and a head's network on one."""

from __future__ import annotations

import functools
from typing import ClassVar

from torch import nn

from edgeseg.core.graph.form import IMAGENET_MEAN, IMAGENET_STD
from edgeseg.errors import SpecError
from edgeseg.host.models.blocks import Segmenter

# Mean and deviation per RGB channel, in 0-1 units, of the frames that an encoder was trained on.
Statistics = tuple[tuple[float, float, float], tuple[float, float, float]]
BN_EPSILON = 1e-5
# A batch norm's step counter, which no file of published weights has to bring.
COUNTERS = "num_batches_tracked"
NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


class Backbone(nn.Module):
    """What every entry of BACKBONES is: a feature extractor with two outputs.

    It is built as `Backbone(output_stride, width=1.0)`, and maps a normalized N,3,H,W image to its
    stride-4 map and its deepest map, which is at the output stride.

    Attributes:
        source: the paper, for `edgeseg models`.
        suits: what or whom it is for, in a few words, for `edgeseg models NAME`.
        low_channels: channels of the stride-4 map.
        out_channels: channels of the deepest map.
        plus_rates: DeepLabv3+'s ASPP rates on it, at either output stride; None takes the paper's,
            which double at output stride 8.
        statistics: of the frames that its published weights were trained on.
        published_epsilon: in the root of the published weights' batch norms.
    """

    source: ClassVar[str]
    suits: ClassVar[str] = ""
    plus_rates: ClassVar[tuple[int, ...] | None] = None
    statistics: ClassVar[Statistics] = (IMAGENET_MEAN, IMAGENET_STD)
    published_epsilon: ClassVar[float] = BN_EPSILON
    low_channels: int
    out_channels: int

    def __init__(self, output_stride: int = 16, *, width: float = 1.0) -> None:
        """Build nothing; a backbone's own class does."""
        super().__init__()

    def published_names(self) -> dict[str, str]:
        """Return our name -> the published file's, for every tensor but the batch norms' counters.

        Nothing where nobody publishes weights of it.
        """
        return {}

    def check_stride(self, given: int, allowed: tuple[int, ...]) -> None:
        """Refuse an output stride that the backbone does not have.

        Raises:
            SpecError: `given` is not among `allowed`.
        """
        if given not in allowed:
            *most, last = map(str, allowed)
            raise SpecError(f"output_stride {given} is not {', '.join(most)} or {last}")


class OnBackbone(Segmenter):
    """A head of HEADS: a network that is complete with any backbone of BACKBONES.

    Attributes:
        backbone_type: gives a stride-4 and a deepest map.
    """

    backbone_type: ClassVar[type[Backbone]]
    backbone: Backbone


@functools.cache
def on_backbone(head: type[OnBackbone], backbone: type[Backbone]) -> type[OnBackbone]:
    """Return the network class of a head on a backbone; one class for each pair."""
    return type(
        f"{head.__name__}{backbone.__name__}",
        (head,),
        {
            "__doc__": f"{head.__name__} on {backbone.__name__}.",
            "__module__": head.__module__,
            "source": f"{head.source} on {backbone.source}",
            "suits": "; ".join(text for text in (head.suits, backbone.suits) if text),
            "backbone_type": backbone,
        },
    )


def renamed_norm(ours: str, theirs: str) -> dict[str, str]:
    """Return our name -> the file's name of a batch norm's four tensors."""
    return {f"{ours}.{tensor}": f"{theirs}.{tensor}" for tensor in NORM_TENSORS}


def renamed_layer(ours: str, conv: str, norm: str) -> dict[str, str]:
    """Return our name -> the file's name of a ConvBNReLU's tensors."""
    return {f"{ours}.0.weight": f"{conv}.weight", **renamed_norm(f"{ours}.1", norm)}


def own_names(module: nn.Module) -> dict[str, str]:
    """Return every tensor's name but the counters', for a backbone whose names are the file's."""
    return {key: key for key in module.state_dict() if not key.endswith(COUNTERS)}
