"""AdaRound and bias correction, alone and in a network."""

import json

import pytest
import torch
from torch import nn

from edgeseg.host.models.blocks import ConvBNReLU
from edgeseg.host.pruning.sparsity import has_pattern, two_of_four
from edgeseg.host.quantization.adaround import adaround, output_error
from edgeseg.host.quantization.bias_correction import correct_bias
from edgeseg.host.quantization.fake_quant.layers import QuantConv2d, quantized_layer, weight_scale
from edgeseg.host.quantization.paired_run import walk
from edgeseg.host.quantization.quantize import REFINE_BATCHES, QuantizeOptions, _Spread, quantize


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvBNReLU(3, 16, 3, stride=2)
        self.depthwise = ConvBNReLU(16, 16, 3, dilation=2, groups=16)
        self.body = ConvBNReLU(16, 16, 1, relu=False)
        self.classifier = nn.Conv2d(16, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.classifier(torch.relu(x + self.body(self.depthwise(x))))


@pytest.fixture
def net() -> nn.Module:
    torch.manual_seed(0)
    return Net().eval()


def batches() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(2, 3, 31, 46, generator=generator).abs() for _ in range(3)]


def coarse(conv: nn.Conv2d) -> QuantConv2d:
    """A layer on a grid of few levels, where the choice of rounding matters."""
    layer = quantized_layer(conv)
    assert isinstance(layer, QuantConv2d)
    layer.weight_scale = weight_scale(conv.weight, 0) * 16
    return layer


@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(8, 12, 1),
        nn.Conv2d(8, 12, 3, stride=2, padding=1),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, groups=8),
    ],
    ids=["pointwise", "strided", "depthwise"],
)
@pytest.mark.parametrize("relu", [False, True])
def test_adaround_lowers_the_layers_output_error(conv: nn.Conv2d, relu: bool) -> None:
    torch.manual_seed(0)
    nn.init.normal_(conv.weight)
    reads = [torch.randn(2, 8, 15, 22).abs() + 0.5 for _ in range(2)]
    with torch.no_grad():
        wanted = [conv(x) for x in reads]
    layer = coarse(conv)
    generator = torch.Generator().manual_seed(0)
    gain = adaround(layer, reads, wanted, relu=relu, iterations=150, generator=generator)
    assert gain.chosen < 0.9 * gain.nearest
    assert gain.chosen == output_error(layer, reads, wanted, relu=relu)
    assert layer.weight_scale is not None
    levels = layer.weight / layer.weight_scale.view(-1, 1, 1, 1)
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)


def test_adaround_keeps_the_scale_that_the_weight_itself_gives() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 12, 3, padding=1)
    reads = [torch.randn(2, 8, 15, 22)]
    with torch.no_grad():
        wanted = [conv(reads[0])]
    layer = quantized_layer(conv)
    assert isinstance(layer, QuantConv2d)
    before = weight_scale(layer.weight, 0)
    generator = torch.Generator().manual_seed(0)
    adaround(layer, reads, wanted, relu=False, iterations=60, generator=generator)
    torch.testing.assert_close(weight_scale(layer.weight, 0), before, rtol=1e-6, atol=0)


def test_adaround_leaves_zeros_however_much_the_output_wants_them() -> None:
    """An output far above the layer's own pulls every weight up; a 2:4 pattern must not fill."""
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 4, 1)
    with torch.no_grad():
        nn.init.normal_(conv.weight).mul_(two_of_four(conv.weight))
        reads = [torch.randn(2, 8, 15, 22).abs() + 0.5]
        wanted = [conv(reads[0]) + 3]
    layer = coarse(conv)
    before = layer.weight.detach().clone()
    generator = torch.Generator().manual_seed(0)
    gain = adaround(layer, reads, wanted, relu=False, iterations=500, generator=generator)
    assert gain.chosen < gain.nearest
    assert has_pattern(layer.weight)
    assert not layer.weight[before == 0].any()


def test_a_choice_that_is_no_better_is_dropped() -> None:
    conv = nn.Conv2d(4, 4, 1)
    layer = coarse(conv)
    reads = [torch.randn(2, 4, 9, 13)]
    with torch.no_grad():
        wanted = [layer(reads[0])]  # rounding to nearest has no error at all
    before = layer.weight.clone()
    gain = adaround(
        layer, reads, wanted, relu=False, iterations=5, generator=torch.Generator().manual_seed(0)
    )
    assert gain.chosen == gain.nearest
    assert torch.equal(layer.weight, before)


def test_bias_correction_brings_the_mean_error_to_nothing() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 12, 3)
    reads = [torch.randn(2, 8, 15, 22).abs(), torch.randn(1, 8, 9, 30).abs()]
    with torch.no_grad():
        wanted = [conv(x) for x in reads]
        layer = coarse(nn.Conv2d(8, 12, 3))
        layer.weight.copy_(conv.weight)
        assert correct_bias(layer, reads, wanted) > 1e-3
        errors = [
            (y - layer(x)).transpose(0, 1).flatten(1) for x, y in zip(reads, wanted, strict=True)
        ]
    mean = torch.cat(errors, 1).mean(1)
    assert float(mean.abs().max()) < 1e-5


def mean_errors(quantized: nn.Module, x: list[torch.Tensor]) -> dict[str, float]:
    """Largest mean error of a channel by layer, float against INT8."""
    found = {}

    def visit(node, layer, reads, wanted):
        error = torch.cat([y - layer(r) for r, y in zip(reads, wanted, strict=True)])
        found[node.target] = float(error.mean((0, 2, 3)).abs().max())

    walk(quantized, x, visit)
    return found


def test_in_a_network_every_layers_mean_is_corrected_after_those_before_it(net: nn.Module) -> None:
    plain, _ = quantize(net, QuantizeOptions("max"), batches())
    corrected, metadata = quantize(net, QuantizeOptions("max", bias_correct=True), batches())
    assert max(mean_errors(plain, batches()).values()) > 1e-4
    # The float side runs with the corrected biases too, so look at the network's own output.
    x = torch.cat(batches())
    with torch.no_grad():
        off = (net(x) - plain(x)).mean((0, 2, 3)).abs().max()
        on = (net(x) - corrected(x)).mean((0, 2, 3)).abs().max()
    assert float(on) < 1e-5 < float(off)
    assert set(metadata["refined"]) == {"stem.0", "depthwise.0", "body.0", "classifier"}
    assert json.loads(json.dumps(metadata)) == metadata


def test_adaround_in_a_network_is_deterministic_and_reports_its_gain(net: nn.Module) -> None:
    options = QuantizeOptions("max", adaround=40)
    seen: list[tuple[int, int]] = []
    first, metadata = quantize(net, options, batches(), refining=lambda *done: seen.append(done))
    second, _ = quantize(net, options, batches())
    x = batches()[0]
    assert torch.equal(first(x), second(x))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    rows = metadata["refined"]
    assert "adaround" not in rows["classifier"]
    gains = [rows[name]["adaround"] for name in ("stem.0", "depthwise.0", "body.0")]
    assert all(chosen <= nearest for nearest, chosen in gains)
    assert any(chosen < nearest for nearest, chosen in gains)


def test_few_batches_are_kept_evenly_whatever_their_number() -> None:
    spread = _Spread(REFINE_BATCHES)
    for number in range(101):
        spread.add(torch.tensor(number))
    assert [int(item) for item in spread.items] == list(range(0, 101, 8))
    none = _Spread(0)
    none.add(torch.tensor(1))
    assert none.items == []
