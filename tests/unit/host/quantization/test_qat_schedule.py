import pytest
import torch
from torch import nn

from edgeseg.host.models.blocks import ConvBNReLU
from edgeseg.host.quantization.fake_quant.layers import QuantConv2d
from edgeseg.host.quantization.qat_schedule import begin_epoch, end_epoch
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize, quantizers_of


@pytest.fixture
def quantized() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(ConvBNReLU(3, 8), ConvBNReLU(8, 8), nn.Conv2d(8, 5, 1)).eval()
    return quantize(net, QuantizeOptions("max"), [torch.randn(2, 3, 12, 17)])[0]


def state(module: nn.Module) -> tuple[bool, bool, bool]:
    """Weights quantized, activations quantized, ranges move."""
    weights = {m.quantizing for m in module.modules() if isinstance(m, QuantConv2d)}
    layers = quantizers_of(module).values()
    (weight,), (activation,), (moves,) = (
        weights, {q.quantizing for q in layers}, {q.observing for q in layers},
    )  # fmt: skip
    return weight, activation, moves


def test_weights_come_first_and_ranges_freeze_in_time(quantized: nn.Module) -> None:
    seen = []
    for epoch in range(5):
        begin_epoch(quantized, epoch, 5, weights_first=0.2, follow_ranges=0.6)
        seen.append(state(quantized))
        end_epoch(quantized)
        assert state(quantized) == (True, True, False)
    assert seen == [
        (True, False, True), (True, True, True), (True, True, True),
        (True, True, False), (True, True, False),
    ]  # fmt: skip


def test_a_range_follows_the_batches_and_an_epochs_start_is_all_that_matters(
    quantized: nn.Module,
) -> None:
    first = next(iter(quantizers_of(quantized).values()))
    before = float(first.step())
    x = 5 * torch.randn(2, 3, 12, 17)

    def epoch(number: int) -> float:
        begin_epoch(quantized, number, 4, weights_first=0, follow_ranges=0.9)
        quantized(x)
        end_epoch(quantized)
        return float(first.step())

    after = epoch(0)
    assert before < after < 5 * before
    second = epoch(1)
    assert first.scale is not None
    first.scale.fill_(after)
    for layer in quantizers_of(quantized).values():
        layer.observer = None  # as in a process that resumes
    assert epoch(1) == second
    quantized(100 * x)
    assert float(first.step()) == second
