import pytest
import torch
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.host.models.blocks import ConvBNReLU
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize
from edgeseg.host.training.loss.feature_distillation import FeatureTaps


def nets() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    teacher = nn.Sequential(*[ConvBNReLU(8 if i else 3, 8) for i in range(5)], nn.Conv2d(8, 5, 1))
    teacher.eval()
    student, _ = quantize(teacher, QuantizeOptions(), [torch.randn(2, 3, 12, 17)])
    return teacher, student


def test_the_loss_is_the_relative_error_of_what_convolutions_read() -> None:
    teacher, student = nets()
    taps = FeatureTaps(teacher, student, taps=3)
    assert taps.names == ("1.0", "3.0", "5")
    x = torch.randn(2, 3, 12, 17)
    teacher(x)
    student(x)
    near = taps.loss()
    assert 0 < float(near.detach()) < 0.05
    near.backward()
    assert student.get_submodule("0.0").weight.grad is not None
    assert all(p.grad is None for p in teacher.parameters())
    teacher(x)
    teacher(x)
    with pytest.raises(RuntimeError, match="call teacher and student"):
        taps.loss()
    teacher(x)
    student(0 * x)
    assert float(taps.loss().detach()) > 10 * float(near.detach())


def test_closed_taps_see_nothing_more() -> None:
    teacher, student = nets()
    taps = FeatureTaps(teacher, student)
    taps.close()
    teacher(torch.randn(2, 3, 12, 17))
    student(torch.randn(2, 3, 12, 17))
    with pytest.raises(RuntimeError):
        taps.loss()


def test_networks_without_a_common_layer_are_refused() -> None:
    with pytest.raises(UsageError, match="student's architecture"):
        FeatureTaps(nn.Sequential(nn.ReLU()), nets()[1])
