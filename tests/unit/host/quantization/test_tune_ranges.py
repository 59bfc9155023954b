"""Ranges moved by the network's own output."""

import pytest
import torch
from torch import nn

from edgeseg.core.recipe import StepDone
from edgeseg.host.models.blocks import ConvBNReLU
from edgeseg.host.quantization.options import QuantizeOptions
from edgeseg.host.quantization.quantize import quantize, quantizers_of, replay, set_quantizing


class Net(nn.Module):
    """Its first layer has one channel of great values, which no class looks at."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBNReLU(3, 8, 3)
        self.body = ConvBNReLU(8, 8, 1)
        self.classifier = nn.Conv2d(8, 5, 1)
        with torch.no_grad():
            self.stem[1].weight[0] = 200.0
            self.body[0].weight[:, 0] = 0.0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.classifier(self.body(self.stem(x)))


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(1, 3, 24, 32, generator=generator) for _ in range(4)]


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def distance(network: nn.Module) -> float:
    """Mean divergence of the INT8 network's classes from its float ones, on other inputs."""
    generator = torch.Generator().manual_seed(8)
    total = 0.0
    for _ in range(4):
        x = torch.randn(1, 3, 24, 32, generator=generator)
        with torch.no_grad():
            set_quantizing(network, False)
            wanted = network(x).log_softmax(1)
            set_quantizing(network, True)
            found = network(x).log_softmax(1)
        total += float((wanted.exp() * (wanted - found)).sum(1).mean())
    return total


def test_a_range_held_for_nothing_is_given_up(net):
    plain, _ = quantize(net, QuantizeOptions("max"), batches())
    tuned, facts = quantize(net, QuantizeOptions("max", tune_ranges=True), batches())
    before, after = facts["tuned_ranges"]["divergence"]
    assert after < before / 2
    assert distance(tuned) < distance(plain) / 2
    assert any(factor <= 0.5 for factor in facts["tuned_ranges"]["factors"].values())


def test_the_step_records_the_ranges_in_use(net):
    tuned, facts = quantize(net, QuantizeOptions(tune_ranges=True), batches())
    steps = {name: float(layer.step()) for name, layer in quantizers_of(tuned).items()}
    assert facts["scales"] == steps
    again = replay(net, StepDone("quantize", QuantizeOptions(tune_ranges=True).to_step(), facts))
    again.load_state_dict(tuned.state_dict())
    torch.testing.assert_close(again(batches()[0]), tuned(batches()[0]))


def test_a_network_that_is_right_already_is_left_alone(net):
    """Only what lowers the divergence is kept, so that it never rises."""
    _, facts = quantize(net, QuantizeOptions("percentile", tune_ranges=True), batches())
    before, after = facts["tuned_ranges"]["divergence"]
    assert after <= before
