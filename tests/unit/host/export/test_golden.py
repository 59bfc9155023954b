import numpy as np
import onnx
import pytest
import torch
from onnx import helper, numpy_helper
from torch import nn
from trained_nets import spec_of

from edgeseg.core.bundle import Golden
from edgeseg.errors import ExportError
from edgeseg.host.export.golden import check_graph, golden_frame, golden_pair
from edgeseg.host.models.label_net import LabelNet

SPEC = spec_of("segnet-basic", (40, 56))


class Chaotic(nn.Module):
    """Amplifies float rounding until it decides the label."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        grey = x.sum(1, keepdim=True).double()
        return torch.cat([torch.sin(1e9 * grey * (k + 1)) for k in range(5)], 1).float()


class Steady(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x, -x], 1)


def constant_graph(labels: np.ndarray) -> bytes:
    value = helper.make_tensor_value_info
    uint8 = onnx.TensorProto.UINT8
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node("Identity", ["known"], ["labels"])],
            "constant",
            [value("frame", uint8, [1, *SPEC.size_hw, 3])],
            [value("labels", uint8, [1, *SPEC.size_hw])],
            [numpy_helper.from_array(labels, "known")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    model.ir_version = 10
    return model.SerializeToString()


def pair(body: nn.Module) -> tuple[LabelNet, Golden]:
    net = LabelNet(SPEC, body).eval()
    return net, golden_pair(SPEC, net)


def test_the_frame_is_always_the_same_and_has_the_models_size() -> None:
    first = golden_frame(SPEC)
    assert first.shape == (1, *SPEC.size_hw, 3)
    assert np.array_equal(first, golden_frame(SPEC))


def test_torchs_labels_pass_and_others_are_refused() -> None:
    net, golden = pair(Steady())
    check_graph(constant_graph(golden.labels), golden, net, "int8")
    wrong = golden.labels.copy()
    wrong[:, :10] = 5 - wrong[:, :10]
    for precision in ("fp32", "fp16", "int8"):
        with pytest.raises(ExportError, match=r"on 75\.00% of the golden frame"):
            check_graph(constant_graph(wrong), golden, net, precision)


def test_a_network_is_not_held_to_more_than_it_agrees_with_itself() -> None:
    net, golden = pair(Chaotic())
    other = np.random.default_rng(0).integers(0, 5, golden.labels.shape).astype(np.uint8)
    assert (other == golden.labels).mean() < 0.3
    check_graph(constant_graph(other), golden, net, "int8")
