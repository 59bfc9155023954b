"""Turn the MobileNetV2 inside a TensorFlow Lite file into weights for `--encoder-weights`.

    npm pack @mediapipe/objectron@0.4.1675468480 && tar xzf mediapipe-objectron-*.tgz
    pip install tflite
    python calibration/tools/tflite_encoder.py package/objectron_solution_packed_assets.data \
        mobilenetv2-openimages.safetensors --camvid DIR

The package (Google, Apache-2.0) carries a detector trained on Open Images V4, whose feature
extractor is MobileNetV2 at width 1 with float16 weights. What differs from torchvision's:

- Its input is pixel / 127.5 - 1. The first convolution is rescaled to take ImageNet's mean and
  deviation instead, which computes the same but for the border, where zeros are other colours.
- Its batch norms are folded. Each comes back as the one that changes nothing: the mean and variance
  its convolution shows on training crops as running statistics, the root as gain.
- It was trained with ReLU6 and one-sided padding in strided layers; ours are ReLU and symmetric.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from torch import nn

from edgeseg.core.data.open import open_dataset
from edgeseg.core.spec import ModelSpec, Preprocess
from edgeseg.host.finetuning.restore_batch_norms import measure_norms
from edgeseg.host.models import build_model
from edgeseg.host.models.backbones.base import IMAGENET_MEAN, IMAGENET_STD
from edgeseg.host.models.pretrained import encoder_names
from edgeseg.host.training.augment import Augment
from edgeseg.host.training.crops import TrainSet, collate

MAGIC, MAGIC_AT = b"TFL3", 4
# The normalized input is pixel / 127.5 - 1, for pixels of 0 to 1 that is 2 x - 1.
GAIN, OFFSET = 2.0, -1.0
CROPS = 64


def main() -> None:
    """Read arguments, carry the weights over, measure the statistics, write the state dict."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, help="a .tflite, or a file that has one inside")
    parser.add_argument("out", type=Path, help="the .safetensors to write")
    parser.add_argument("--camvid", required=True)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    data = open_dataset(arguments.camvid, "train", size_hw=(360, 480), seed=arguments.seed)
    module = build_model(
        ModelSpec(
            "deeplabv3plus-mobilenetv2",
            data.class_names,
            data.palette,
            size_hw=(360, 480),
            preprocess=Preprocess(mean=IMAGENET_MEAN, std=IMAGENET_STD),
        )
    ).eval()
    carried = carry(module, convolutions(arguments.file.read_bytes()))
    crops = TrainSet(
        data, Augment(crop_hw=(256, 320), photometry="mild"), seed=arguments.seed, batch=CROPS
    )
    images, _ = collate(
        next(crops.epoch(0)), normalize="fixed", mean=IMAGENET_MEAN, std=IMAGENET_STD
    )
    with torch.no_grad():
        measure_norms(module, carried, [images])
    state = module.state_dict()
    names = encoder_names(module, batch_norm=True)
    safetensors.torch.save_file(
        {theirs: state[ours].contiguous() for ours, theirs in names.items()}, arguments.out
    )
    print(f"{len(carried)} convolutions of {arguments.file} in {arguments.out}")


def convolutions(data: bytes) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield kernel (O,I,H,W) and bias (O) of every convolution, in the graph's order."""
    # No dependency of the package's: whoever builds the networks needs no such file.
    import tflite

    ops = tflite.BuiltinOperator
    model = tflite.Model.GetRootAs(data, data.index(MAGIC) - MAGIC_AT)
    graph = model.Subgraphs(0)
    operators = []
    for number in range(graph.OperatorsLength()):
        operator = graph.Operators(number)
        code = model.OperatorCodes(operator.OpcodeIndex())
        operators.append((max(code.BuiltinCode(), code.DeprecatedBuiltinCode()), operator))
    halves = {o.Outputs(0): o.Inputs(0) for kind, o in operators if kind == ops.DEQUANTIZE}

    def values(index: int) -> torch.Tensor:
        tensor = graph.Tensors(halves[index])
        half = model.Buffers(tensor.Buffer()).DataAsNumpy().view(np.float16)
        return torch.from_numpy(half.reshape(tensor.ShapeAsNumpy()).astype(np.float32))

    for kind, operator in operators:
        if kind in (ops.CONV_2D, ops.DEPTHWISE_CONV_2D):
            kernel, bias = values(operator.Inputs(1)), values(operator.Inputs(2))
            # Ordinary ones are O,H,W,I, depthwise ones 1,H,W,O.
            dense = kind == ops.CONV_2D
            yield kernel.permute(0, 3, 1, 2) if dense else kernel.permute(3, 0, 1, 2), bias


def carry(module: nn.Module, found: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> list[str]:
    """Copy the encoder's convolutions in their order, passing over the detector's own.

    Returns:
        The names of the batch norms after them, which now only add the folded biases.
    """
    names = encoder_names(module, batch_norm=True)
    convolved = [name.removesuffix(".0.weight") for name in names if name.endswith(".0.weight")]
    for position, name in enumerate(convolved):
        conv, norm = module.get_submodule(f"{name}.0"), module.get_submodule(f"{name}.1")
        pair = next((p for p in found if p[0].shape == conv.weight.shape), None)
        if pair is None:
            raise SystemExit(f"no kernel {tuple(conv.weight.shape)} is left for {name}")
        kernel, shift = pair
        if position == 0:
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
            shift = shift + (kernel.sum((2, 3)) * (GAIN * mean + OFFSET)).sum(1)
            kernel = kernel * (GAIN * std)[:, None, None]
        conv.weight.data.copy_(kernel)
        norm.weight.data.fill_((1 + norm.eps) ** 0.5)
        norm.bias.data.copy_(shift)
        norm.running_mean.zero_()
        norm.running_var.fill_(1)
    return [f"{name}.1" for name in convolved]


if __name__ == "__main__":
    main()
