"""A network whose step sizes were learned exports those step sizes and its own labels."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn
from trained_nets import frames, spec_of, trained

from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.host.checkpoint import (
    Checkpoint,
    load_checkpoint,
    module_from_checkpoint,
    save_checkpoint,
)
from edgeseg.host.export.export import deployed, export_onnx
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.models.label_net import Normalize, resize_logits
from edgeseg.host.quantization.fake_quant.layers import QuantConv2d, weight_step
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize, quantizers_of
from edgeseg.host.training.optim import build_optimizer

pytestmark = pytest.mark.timeout(120)
SIZE = (64, 96)


def learned(spec: ModelSpec, options: QuantizeOptions) -> tuple[nn.Module, StepDone]:
    """A network trained in float, calibrated, and trained on for a moment with its scales."""
    rgb, labels = frames(spec.size_hw, 4, seed=3)
    x = Normalize(spec.preprocess)(rgb)
    module, metadata = quantize(trained(spec), options, x.split(1))
    module.train()
    optimizer = build_optimizer(module, "adamw", lr=2e-4, weight_decay=0.0)
    for group in optimizer.param_groups:
        group["lr"] *= group.get("lr_factor", 1.0)
    for _ in range(6):
        loss = nn.functional.cross_entropy(
            resize_logits(module(x), spec.size_hw), labels, ignore_index=spec.ignore_index
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return module.eval(), StepDone("quantize", options.to_step(), metadata)


@torch.no_grad()
def noise_floor(spec: ModelSpec, module: nn.Module, rgb: torch.Tensor, labels: np.ndarray) -> float:
    """Label agreement of the fake-quantized torch network with itself under float rounding."""
    net = deployed(spec, module, "int8")
    x = net.normalize(rgb)
    shares = []
    for seed in range(4):
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))
        logits = resize_logits(net.model(x * (1 + 1e-6 * noise)), spec.size_hw)
        shares.append(float((logits.argmax(1).numpy() == labels).mean()))
    return min(shares)


@pytest.mark.parametrize(
    "arch",
    [pytest.param("deeplabv3plus-mobilenetv2", marks=pytest.mark.slow), "segnet-basic"],
)
def test_the_file_carries_the_learned_scales_and_gives_torchs_labels(
    arch: str, tmp_path: Path
) -> None:
    spec = spec_of(arch, SIZE)
    module, step = learned(spec, QuantizeOptions("mse", learned_scales=True))
    moved = [
        abs(float(q.step()) / step.metadata["scales"][name] - 1)
        for name, q in quantizers_of(module).items()
    ]
    assert max(moved) > 1e-3

    path = tmp_path / "net.safetensors"
    save_checkpoint(path, Checkpoint(spec, (StepDone("train"), step), module.state_dict()))
    rebuilt = module_from_checkpoint(load_checkpoint(path))
    model = onnx.load_from_string(export_onnx(spec, rebuilt, "int8"))

    value = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    written = [n for n in model.graph.node if n.op_type == "QuantizeLinear"]
    scales = {float(value[node.input[1]]) for node in written}
    assert all(value[node.input[1]].dtype == np.float32 for node in written)
    assert min(scales) > 0
    assert scales == {float(q.step()) for q in quantizers_of(module).values()}
    for name, layer in module.named_modules():
        if isinstance(layer, QuantConv2d):
            (node,) = [n for n in model.graph.node if n.name == f"{name}/Conv"]
            (weight,) = [n for n in model.graph.node if n.output[0] == node.input[1]]
            assert np.array_equal(value[weight.input[1]], weight_step(layer).numpy())

    rgb, _ = frames(SIZE, 1, seed=9)
    with torch.no_grad():
        expected = deployed(spec, module, "int8")(rgb).numpy()
    (labels,) = run_unoptimized(model, rgb.numpy())
    assert len(np.unique(labels)) >= 3
    assert (labels == expected).mean() >= min(noise_floor(spec, module, rgb, expected), 0.98)
