"""Encoder weights that others trained, from a local file into our networks.

A backbone says itself how the published file names its tensors; VGG16's names are torchvision's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.models import BACKBONES
from edgeseg.host.models.backbones.base import (
    BN_EPSILON,
    COUNTERS,
    Backbone,
    Statistics,
)
from edgeseg.host.models.backbones.vgg import vgg_names
from edgeseg.host.models.blocks import Segmenter
from edgeseg.host.models.state_dict import aligned, read_state


@dataclasses.dataclass(frozen=True)
class Loaded:
    """What a file gave a network.

    Attributes:
        matched: the network's tensors that came from the file.
        own: the network's tensors that keep their fresh start, such as the decoder's.
        unused: the file's tensors that the network has no place for, such as the classifier's.
    """

    matched: tuple[str, ...]
    own: tuple[str, ...]
    unused: tuple[str, ...]

    def summary(self) -> str:
        """Return one line: how many tensors matched, kept their start, and were left over."""
        rest = ", ".join(self.unused[:4]) + (", …" if len(self.unused) > 4 else "")
        return (
            f"{len(self.matched)} tensors from the file, {len(self.own)} keep their fresh start, "
            f"{len(self.unused)} of the file unused" + (f" ({rest})" if rest else "")
        )


def expected_statistics(network: type[Segmenter]) -> Statistics:
    """Return the mean and deviation per RGB channel, 0-1, that a pre-trained encoder expects."""
    backbone: type[Backbone] = getattr(network, "backbone_type", Backbone)
    return backbone.statistics


def load_encoder_weights(module: nn.Module, path: Path) -> Loaded:
    """Copy a VGG16 (with or without BN), MobileNetV2, ResNet or EfficientNet-Lite into `module`.

    A VGG16's convolutions have biases, ours have none: each is subtracted from the running mean of
    the BN after it (0 where the file has no BN), which then computes the same. Every tensor of the
    encoder must be in the file, and no deeper layer of it; fully connected layers are taken where
    the network has them at full width.

    Args:
        module: a network of MODELS, freshly built; changed in place.
        path: a state dict: .safetensors, or what torch.save wrote (read with weights_only).

    Raises:
        UsageError: the architecture has no encoder that torchvision names.
        CheckpointError: the file is unreadable, or is not this encoder's.
    """
    given = read_state(path)
    for batch_norm in (False, True):
        # Of VGG16's two forms the file's own names tell which it is, prefixed or not.
        names = encoder_names(module, batch_norm=batch_norm)
        given = aligned(given, names.values())
    names = encoder_names(module, batch_norm="features.1.running_mean" in given)
    _check_same_network(path, given, names)
    state = module.state_dict()
    backbone = getattr(module, "backbone", None)
    epsilon = backbone.published_epsilon if isinstance(backbone, Backbone) else BN_EPSILON
    dense = {ours: theirs for ours, theirs in _dense_names(module).items() if theirs in given}
    new: dict[str, torch.Tensor] = {}
    used = set()
    for ours, theirs in (names | dense).items():
        value = given[theirs].float()
        if ours in dense:
            if value.numel() != state[ours].numel():
                continue
            value = value.reshape(state[ours].shape)
        if value.shape != state[ours].shape:
            raise CheckpointError(
                f"{path}: {theirs} is {tuple(value.shape)}, the network's {ours} is "
                f"{tuple(state[ours].shape)}; build the network at width 1, or give its own file"
            )
        if epsilon != BN_EPSILON and ours.endswith("running_var"):
            value = value + epsilon - BN_EPSILON
        new[ours] = value
        used.add(theirs)
    for ours, theirs in (names | dense).items():
        bias = theirs.removesuffix("weight") + "bias"
        if ours in new and ours.endswith(".0.weight") and bias in given:
            mean = ours.removesuffix("0.weight") + "1.running_mean"
            if given[bias].shape != state[mean].shape:
                raise CheckpointError(
                    f"{path}: {bias} is {tuple(given[bias].shape)}, expected "
                    f"{tuple(state[mean].shape)}; give the state dict of the same network"
                )
            new[mean] = new.get(mean, torch.zeros_like(state[mean])) - given[bias].float()
            used.add(bias)
    module.load_state_dict({**state, **new})
    return Loaded(
        tuple(new),
        tuple(key for key in state if key not in new and not key.endswith(COUNTERS)),
        tuple(key for key in given if key not in used and not key.endswith(COUNTERS)),
    )


def _check_same_network(
    path: Path, given: Mapping[str, torch.Tensor], names: Mapping[str, str]
) -> None:
    theirs = set(names.values())
    missing = [name for name in names.values() if name not in given]
    if missing:
        raise CheckpointError(
            f"{path} lacks {len(missing)} of the encoder's {len(names)} tensors, first "
            f"{missing[0]} (it begins with {next(iter(given), 'nothing')}); give the state dict of "
            "the same network as torchvision names it"
        )
    # A ResNet-101 has every name of a ResNet-50.
    deeper = [
        key
        for key in given
        if key.startswith("layer") and key not in theirs and not key.endswith(COUNTERS)
    ]
    if deeper:
        raise CheckpointError(
            f"{path} is of a deeper network: the encoder has no {deeper[0]}; give the state dict "
            "of the same network"
        )


def encoder_names(module: nn.Module, *, batch_norm: bool) -> dict[str, str]:
    """Return our name -> the file's name for every tensor of the encoder but BN's counters.

    Args:
        module: a network of MODELS.
        batch_norm: whether a VGG16 is torchvision's vgg16_bn rather than vgg16.

    Raises:
        UsageError: the architecture has no encoder that torchvision names.
    """
    if getattr(module, "vgg_dense", None) is not None:
        return vgg_names(batch_norm=batch_norm)
    backbone = getattr(module, "backbone", None)
    published = backbone.published_names() if isinstance(backbone, Backbone) else {}
    if not published:
        raise UsageError(
            f"{type(module).__name__} has no encoder whose weights are published; "
            f"--encoder-weights and --encoder-lr fit networks on {_published()}"
        )
    return {f"backbone.{ours}": theirs for ours, theirs in published.items()}


def _published() -> str:
    """Name the encoders that have published weights."""
    types = [BACKBONES.load(name) for name in BACKBONES]
    have = [
        t.source.split(" (")[0] for t in types if t.published_names is not Backbone.published_names
    ]
    return f"VGG16, {', '.join(have[:-1])} and {have[-1]}"


def _dense_names(module: nn.Module) -> dict[str, str]:
    layers = getattr(module, "vgg_dense", None) or ()
    theirs = ("classifier.0", "classifier.3")
    return {f"{o}.0.weight": f"{t}.weight" for o, t in zip(layers, theirs, strict=False)}
