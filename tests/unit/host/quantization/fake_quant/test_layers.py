import pytest
import torch
from torch import nn

from edgeseg.host.quantization.fake_quant.layers import (
    ActivationQuantizer,
    QuantConv2d,
    quantize_weight,
    quantized_layer,
    weight_scale,
)
from edgeseg.host.quantization.observers.max import MaxObserver


def test_values_land_on_the_grid_and_saturate_outside() -> None:
    quantizer = ActivationQuantizer()
    quantizer.set_amax(1.27)
    x = torch.tensor([-5.0, -1.28, -0.004, 0.0, 0.006, 0.5, 1.27, 9.0])
    expected = torch.tensor([-128, -128, 0, 0, 1, 50, 127, 127]) * quantizer.scale
    torch.testing.assert_close(quantizer(x), expected)
    assert torch.equal(quantizer(quantizer(x)), quantizer(x))


def test_gradient_passes_inside_the_range_only() -> None:
    quantizer = ActivationQuantizer()
    quantizer.set_amax(1.0)
    x = torch.tensor([-3.0, 0.3, 0.9, 3.0], requires_grad=True)
    quantizer(x).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]


def test_switched_off_it_returns_its_input_and_observing_counts_once() -> None:
    quantizer = ActivationQuantizer()
    quantizer.quantizing, quantizer.observing = False, True
    quantizer.observer = MaxObserver()
    x = torch.randn(2, 3, 4, 5)
    assert quantizer(x) is x
    quantizer(100 * x, observe=False)
    assert quantizer.observer.amax() == float(x.abs().max())


def test_only_the_scale_is_state() -> None:
    assert list(ActivationQuantizer().state_dict()) == ["scale"]


def test_weight_grid_is_per_output_channel_and_within_127() -> None:
    weight = torch.randn(8, 3, 3, 3) * torch.logspace(-3, 3, 8).view(-1, 1, 1, 1)
    scale = weight_scale(weight, 0)
    levels = quantize_weight(weight, 0) / scale.view(-1, 1, 1, 1)
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
    per_channel = levels.abs().amax((1, 2, 3))
    torch.testing.assert_close(per_channel, torch.full((8,), 127.0))


def test_a_dead_channel_keeps_a_positive_scale() -> None:
    assert float(weight_scale(torch.zeros(2, 3, 1, 1), 0).min()) > 0


def test_a_quantized_layer_shares_parameters_and_trains() -> None:
    conv = nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1)
    fake = quantized_layer(conv)
    assert isinstance(fake, QuantConv2d)
    assert fake.weight is conv.weight
    x = torch.randn(2, 3, 15, 22)
    error = (fake(x) - conv(x)).norm() / conv(x).norm()
    assert 0 < error < 0.02
    fake(x).square().sum().backward()
    assert conv.weight.grad is not None
    fake.quantizing = False
    assert torch.equal(fake(x), conv(x))


@pytest.mark.parametrize("output_size", [None, [12, 17]])
def test_a_transposed_convolution_has_one_weight_scale(output_size: list[int] | None) -> None:
    conv = nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2)
    fake = quantized_layer(conv)
    x = torch.randn(2, 4, 6, 8)
    plain = nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2)
    plain.load_state_dict({**conv.state_dict(), "weight": quantize_weight(conv.weight, None)})
    if output_size is None:
        assert torch.equal(fake(x), plain(x))
    else:
        with pytest.raises(ValueError, match="output size"):
            fake(x, [99, 99])
    levels = quantize_weight(conv.weight, None) / weight_scale(conv.weight, None)
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)
