"""A network that is none of ours: every placement rule at once, exported and compared."""

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import numpy_helper
from torch import nn
from trained_nets import frames

from edgeseg.core.spec import ModelSpec
from edgeseg.host.export.export import deployed, export_onnx
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.models.label_net import Normalize
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize

SIZE = (48, 64)


class Other(nn.Module):
    """Max and global pooling, a residual of two convolutions, concat, transposed convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8))
        self.a = nn.Conv2d(8, 16, 3, stride=2, padding=1)
        self.b = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.shortcut = nn.Conv2d(8, 16, 1, stride=2)
        self.pooled = nn.Conv2d(16, 8, 1)
        self.up = nn.ConvTranspose2d(24, 8, 2, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.head = nn.Conv2d(8, 11, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.stem(x)), 2)
        x = F.relu(self.b(F.relu(self.a(x))) + self.shortcut(x))
        wide = F.relu(self.pooled(F.adaptive_avg_pool2d(x, 1)))
        wide = F.interpolate(wide, size=x.shape[-2:], mode="nearest")
        return self.head(F.relu(self.norm(self.up(torch.cat([x, wide], 1)))))


@pytest.fixture(scope="module")
def networks() -> tuple[ModelSpec, nn.Module, nn.Module]:
    torch.manual_seed(0)
    spec = ModelSpec("segnet-basic", size_hw=SIZE)
    net = Other().eval()
    rgb, _ = frames(SIZE, 2, seed=1)
    quantized, _ = quantize(net, QuantizeOptions(), [Normalize(spec.preprocess)(rgb)])
    return spec, net, quantized


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_its_exported_logits_are_torchs(
    networks: tuple[ModelSpec, nn.Module, nn.Module], precision: str
) -> None:
    spec, net, quantized = networks
    module = quantized if precision == "int8" else net
    model = onnx.load_from_string(export_onnx(spec, module, precision, raw_logits=True))
    rgb, _ = frames(SIZE, 1, seed=2)
    labels, logits = run_unoptimized(model, rgb.numpy())
    with torch.no_grad():
        expected_labels, expected = deployed(spec, module, precision, raw_logits=True)(rgb)
        exact = deployed(spec, net, "fp32", raw_logits=True)(rgb)[1].numpy()
    error = np.square(logits - expected.numpy()).mean() / exact.var()
    assert error < {"fp32": 1e-10, "fp16": 1e-5, "int8": 1e-3}[precision]
    assert np.square(logits - exact).mean() / exact.var() < 0.05
    assert (labels == expected_labels.numpy()).mean() > 0.97


def test_its_transposed_convolution_has_one_int8_weight_scale(
    networks: tuple[ModelSpec, nn.Module, nn.Module],
) -> None:
    spec, _, quantized = networks
    model = onnx.load_from_string(export_onnx(spec, quantized, "int8"))
    value = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    (up,) = (n for n in model.graph.node if n.op_type == "ConvTranspose")
    (weight,) = (n for n in model.graph.node if up.input[1] in n.output)
    assert value[weight.input[0]].dtype == np.int8
    assert value[weight.input[1]].shape == ()
    assert not weight.attribute
