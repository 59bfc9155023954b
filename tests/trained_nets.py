"""Briefly trained nets: agreement tests on random weights only measure chaos."""

import math

import torch
from torch import nn

from edgeseg.core.spec import ModelSpec
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.host.models import build_model
from edgeseg.host.models.label_net import Normalize, resize_logits
from edgeseg.host.quantization.fake_quant.layers import QuantConv2d
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize, quantizers_of

OPTIONS = {
    "deeplabv3plus-mobilenetv2": {
        "aspp_channels": 16, "decoder_channels": 16, "low_channels": 8, "dropout": 0.0,
    },
    "segnet": {"width": 0.125},
    "segnet-mobilenetv2": {
        "width": 0.25, "aspp_channels": 16, "decoder_channels": 8, "dropout": 0.0,
    },
    "segnet-basic": {"channels": 8, "kernel": 3},
}  # fmt: skip
STRIDES = {
    "deeplabv3plus-mobilenetv2": 16, "segnet": 32, "segnet-mobilenetv2": 32, "segnet-basic": 16,
}  # fmt: skip


def spec_of(arch: str, size_hw: tuple[int, int]) -> ModelSpec:
    return ModelSpec(arch, size_hw=size_hw, output_stride=STRIDES[arch], options=OPTIONS[arch])


def frames(size_hw: tuple[int, int], count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """uint8 frames n,h,w,3 and labels n,h,w of the synthetic drive."""
    drive = SyntheticDrive(size_hw, seed=seed, n=count)
    pairs = [drive.frame(i) for i in range(count)]
    rgb, labels = (torch.stack([torch.from_numpy(p[k].copy()) for p in pairs]) for k in (0, 1))
    return rgb, labels.long()


def trained(spec: ModelSpec, steps: int = 40) -> nn.Module:
    return trained_on(spec, *frames(spec.size_hw, 8, seed=3), steps=steps)


def trained_on(
    spec: ModelSpec, rgb: torch.Tensor, labels: torch.Tensor, *, steps: int
) -> nn.Module:
    """Train on frames n,h,w,3 and labels n,h,w, in batches of four in turn."""
    torch.manual_seed(0)
    net = build_model(spec).train()
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.3  # statistics of 40 steps must do for evaluation mode
    x = Normalize(spec.preprocess)(rgb)
    batches = torch.arange(len(x)).split(4)
    optimizer = torch.optim.AdamW(net.parameters(), lr=5e-3)
    for step in range(steps):
        pick = batches[(step + 1) % len(batches)]
        logits = resize_logits(net(x[pick]), spec.size_hw)
        loss = nn.functional.cross_entropy(logits, labels[pick], ignore_index=spec.ignore_index)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


@torch.no_grad()
def settle(net: nn.Module, x: torch.Tensor) -> nn.Module:
    """Give the batch norms the statistics of normalized images n,3,h,w, in place.

    Running averages of a short training follow its last batches, and in the sixty layers of an
    Xception the error grows from each to the next.
    """
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.reset_running_stats()
            layer.momentum = None
    net.train()(x)
    return net.eval()


def calibrated(spec: ModelSpec, net: nn.Module) -> nn.Module:
    rgb, _ = frames(spec.size_hw, 4, seed=5)
    return quantize(net, QuantizeOptions(), Normalize(spec.preprocess)(rgb).split(1))[0]


@torch.no_grad()
def dyadic(net: nn.Module) -> nn.Module:
    """Make every scale a power of two and every weight and bias a multiple of its grid, in place.

    Then each convolution is a sum of integers that float32 holds exactly, in whatever order a
    runtime adds them, and two right implementations must agree to the last bit.
    """
    for quantizer in quantizers_of(net).values():
        quantizer.scale.fill_(2.0 ** math.ceil(math.log2(float(quantizer.scale))))
    smallest = min(float(q.scale) for q in quantizers_of(net).values())
    for conv in net.modules():
        if not isinstance(conv, nn.Conv2d):
            continue
        flat = conv.weight.view(conv.out_channels, -1)
        step = torch.exp2(torch.ceil(torch.log2(flat.abs().amax(1).clamp_min(1e-3) / 127)))
        levels = (flat / step.view(-1, 1)).round().clamp(-127, 127)
        if isinstance(conv, QuantConv2d):
            # The scale is max / 127: one level of 127 in each channel keeps it at the step.
            levels[torch.arange(len(levels)), levels.abs().argmax(1)] = 127.0
        conv.weight.copy_((levels * step.view(-1, 1)).view_as(conv.weight))
        if conv.bias is not None:
            grid = step * smallest
            conv.bias.copy_((conv.bias / grid).round() * grid)
    return net
