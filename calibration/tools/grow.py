"""Carry the encoder of a folded, quantized checkpoint into a fresh float network of another width.

    python calibration/tools/grow.py OLD.safetensors NEW.safetensors --camvid DIR \
        --set aspp_channels=256 --set decoder_channels=256

A folded checkpoint has no batch norms left. They are put back from data: each gets the mean and
variance that its convolution shows on training crops as running statistics, and the gain and shift
that make the pair compute what the folded convolution computed. Layers of another shape start
fresh. The result is a starting point for `edgeseg train --init`.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import torch
from torch import nn

from edgeseg.core.data.open import open_dataset
from edgeseg.core.spec import Preprocess
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeseg.host.finetuning.restore_batch_norms import measure_norms
from edgeseg.host.models import build_model
from edgeseg.host.models.blocks import ConvBNReLU
from edgeseg.host.training.augment import Augment
from edgeseg.host.training.crops import TrainSet, collate


def main() -> None:
    """Read arguments, carry the weights over, measure the statistics, write the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--camvid", required=True)
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--normalize", choices=("fixed", "per_image"), default="fixed")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    old = load_checkpoint(arguments.old)
    options = dict(old.spec.options) | {
        key: int(value) for key, _, value in (item.partition("=") for item in arguments.set)
    }
    spec = dataclasses.replace(
        old.spec, options=options, preprocess=Preprocess(normalize=arguments.normalize)
    )
    module = build_model(spec)
    carried = _carry(old, module)
    _measure(module, carried, spec, arguments.camvid, arguments.seed)
    steps = tuple(step for step in old.steps if step.kind not in ("quantize", "qat"))
    save_checkpoint(
        arguments.new,
        Checkpoint(spec, steps, module.state_dict(), {"grown_from": dict(old.provenance)}),
    )
    print(f"carried {len(carried)} convolutions of {arguments.old} into {arguments.new}")


def _carry(old: Checkpoint, module: nn.Module) -> dict[str, torch.Tensor]:
    """Copy every convolution whose shape is the same; return the folded biases by block name."""
    biases = {}
    for name, block in module.named_modules():
        if not isinstance(block, ConvBNReLU):
            continue
        weight = old.weights.get(f"{name}.0.weight")
        bias = old.weights.get(f"{name}.0.bias")
        if weight is None or bias is None or weight.shape != block[0].weight.shape:
            continue
        block[0].weight.data.copy_(weight)
        biases[name] = bias.float()
    return biases


@torch.no_grad()
def _measure(
    module: nn.Module, carried: dict[str, torch.Tensor], spec, camvid: str, seed: int
) -> None:
    """Let the batch norms add the folded biases, then give them the statistics of crops."""
    module.eval()
    names = []
    for name, bias in carried.items():
        norm = module.get_submodule(f"{name}.1")
        norm.weight.fill_((1 + norm.eps) ** 0.5)
        norm.bias.copy_(bias)
        names.append(f"{name}.1")
    data = open_dataset(camvid, "train", size_hw=spec.size_hw, seed=seed)
    crops = TrainSet(data, Augment(crop_hw=(256, 320), photometry="mild"), seed=seed, batch=32)
    rule = spec.preprocess
    images, _ = collate(
        next(iter(crops.epoch(0))), normalize=rule.normalize, mean=rule.mean, std=rule.std
    )
    measure_norms(module, names, [images])


if __name__ == "__main__":
    main()
