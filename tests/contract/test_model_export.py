"""Every architecture as ONNX, float and INT8, against its torch twin."""

import numpy as np
import onnx
import pytest
import torch
from small_models import small
from torch import nn
from trained_nets import frames, settle

from edgeseg.core.spec import ModelSpec
from edgeseg.host.export.export import deployed, export_onnx
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.models.label_net import Normalize
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize

# Odd, so that every pooling in ceil mode, crop and resize has something to cut.
SIZE = (45, 61)
# One of each kind in the quick suite; tests/golden has the two SegNets and DeepLabv3+.
QUICK = {("fcn-basic", "int8"), ("unet", "int8"), ("segnet-basic-encoderaddition", "fp32")}


def settled(spec: ModelSpec) -> tuple[nn.Module, torch.Tensor]:
    """A fresh network whose batch norms know their inputs, and those inputs.

    With the statistics it is built with, a deep network's values overflow or vanish.
    """
    torch.manual_seed(0)
    x = Normalize(spec.preprocess)(frames(spec.size_hw, 4, seed=3)[0])
    return settle(build_model(spec), x), x


# Tracing ResNet-101 takes a minute of a core, and a core may be shared.
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("arch", "precision"),
    [
        pytest.param(arch, p, marks=() if (arch, p) in QUICK else pytest.mark.slow)
        for arch in MODELS
        for p in ("fp32", "int8")
    ],
)
def test_the_exported_graph_computes_what_torch_does(arch: str, precision: str) -> None:
    spec = small(arch, size_hw=SIZE)
    module, x = settled(spec)
    if precision == "int8":
        module, _ = quantize(module, QuantizeOptions(observer="max"), x.split(2))
    model = onnx.load_from_string(export_onnx(spec, module, precision, raw_logits=True))
    rgb, _ = frames(SIZE, 1, seed=9)
    labels, logits = run_unoptimized(model, rgb.numpy())
    with torch.no_grad():
        expected_labels, expected = deployed(spec, module, precision, raw_logits=True)(rgb)
    noise = np.square(logits - expected.numpy()).mean() / expected.numpy().var()
    # One value on the edge between two levels, or two equal cells of a pooling window, may fall
    # otherwise than in torch; a wrong graph is off by the signal itself.
    assert noise < 1e-3
    assert (labels == expected_labels.numpy()).mean() >= 0.99
