import pytest
import torch
from small_models import small
from torch import nn
from trained_nets import spec_of

from edgeseg.core.recipe import StepDone
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.fx.fold_batch_norm import fold_batch_norms
from edgeseg.host.fx.tracing import trace
from edgeseg.host.models import build_model
from edgeseg.host.models.blocks import ConvBNReLU
from edgeseg.host.quantization.equalize import equalizable, equalize
from edgeseg.host.quantization.qat_setup import QatJob
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize, set_quantizing
from edgeseg.host.training.loss.feature_distillation import FeatureTaps
from edgeseg.host.training.options import TrainOptions


class Separable(nn.Module):
    """Expand, depthwise, project, as in MobileNetV2, with a second reader at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBNReLU(3, 8)
        self.depthwise = ConvBNReLU(8, 8, groups=8)
        self.grouped = nn.Conv2d(8, 6, 3, groups=2)
        self.clip = nn.ReLU6()
        self.project = nn.Conv2d(6, 8, 1)
        self.left, self.right = nn.Conv2d(8, 4, 1), nn.Conv2d(8, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.grouped(self.depthwise(self.stem(x)))
        x = torch.relu(self.project(self.clip(x)))
        return self.left(x) + self.right(x)


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    net = Separable().eval()
    with torch.no_grad():
        for norm in (net.stem[1], net.depthwise[1]):
            norm.weight.copy_(torch.logspace(-2, 2, 8))
            norm.bias.copy_(torch.randn(8))
    return net


def test_pairs_are_those_that_only_a_relu_stands_between(net: nn.Module) -> None:
    graph = trace(net)
    fold_batch_norms(graph)
    assert equalizable(graph) == [("stem.0", "depthwise.0"), ("depthwise.0", "grouped")]


def test_the_function_is_kept_and_the_ranges_agree(net: nn.Module) -> None:
    graph = trace(net)
    fold_batch_norms(graph)
    x = torch.randn(2, 3, 16, 23)
    with torch.no_grad():
        before = graph(x)
        equalize(graph)
        after = graph(x)
    torch.testing.assert_close(after, before, rtol=1e-4, atol=1e-4 * float(before.abs().max()))
    first, second = graph.get_submodule("stem.0"), graph.get_submodule("depthwise.0")
    left, right = (layer.weight.abs().amax((1, 2, 3)) for layer in (first, second))
    torch.testing.assert_close(left, right, rtol=5e-3, atol=0)


@pytest.mark.parametrize(
    ("arch", "least"), [("deeplabv3plus-mobilenetv2", 30), ("segnet", 10), ("segnet-basic", 0)]
)
def test_every_architecture_keeps_its_function(arch: str, least: int) -> None:
    torch.manual_seed(1)
    module = build_model(spec_of(arch, (64, 96))).eval()
    graph = trace(module)
    fold_batch_norms(graph)
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        before = graph(x)
        assert len(equalize(graph)) >= least
        error = (graph(x) - before).norm() / before.norm()
    assert float(error) < 1e-4


def test_uneven_channels_lose_less_in_int8(net: nn.Module) -> None:
    x = torch.randn(4, 3, 16, 23)

    def error(equalized: bool) -> float:
        quantized, _ = quantize(net, QuantizeOptions("max", equalize=equalized), [x])
        with torch.no_grad():
            return float((quantized(x) - net(x)).norm() / net(x).norm())

    assert error(True) < 0.7 * error(False)


def test_a_dead_channel_is_left_alone(net: nn.Module) -> None:
    graph = trace(net)
    fold_batch_norms(graph)
    with torch.no_grad():
        graph.get_submodule("stem.0").weight[3] = 0
        graph.get_submodule("grouped").weight[:, 1] = 0
    equalize(graph)
    assert all(bool(p.isfinite().all()) for p in graph.parameters())


def test_the_teacher_of_an_equalized_network_has_its_features():
    torch.manual_seed(6)
    spec = small("deeplabv3plus-mobilenetv2")
    module = build_model(spec).eval()
    for layer in module.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            # As training leaves them: gains differ by channel.
            layer.weight.data = torch.exp(torch.randn(layer.weight.shape) * 0.7)
    frames = [torch.randn(2, 3, 64, 96) for _ in range(2)]
    checkpoint = Checkpoint(spec, (StepDone("train"),), module.state_dict())
    choice = QuantizeOptions(observer="max", equalize=True)
    student, _ = quantize(module, choice, frames)
    set_quantizing(student, False)
    options = TrainOptions(distill_features=1.0)
    teacher = QatJob(checkpoint, "", None, None, (), choice, 1, options).teacher()
    for of, most in ((teacher, 1e-6), (module, None)):
        taps = FeatureTaps(of, student)
        with torch.no_grad():
            wanted, found = of(frames[0]), student(frames[0])
        assert torch.allclose(wanted, found, atol=1e-4 * float(wanted.abs().max()))
        loss = float(taps.loss())
        assert loss < most if most else loss > 0.01
        taps.close()
