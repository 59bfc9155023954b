import math

import pytest
import torch
from torch import nn

from edgeseg.host.quantization.fake_quant.layers import (
    ActivationQuantizer,
    QuantConv2d,
    ResidualObserver,
    freeze_scales,
    learn_scales,
    quantize_weight,
    quantized_layer,
    weight_scale,
    weight_step,
)
from edgeseg.host.quantization.fake_quant.learned_scales import learned_quantize
from edgeseg.host.training.optim import SCALE_LR, build_optimizer


def values(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def reference(x: torch.Tensor, step: torch.Tensor, values: int) -> torch.Tensor:
    """Eq. 1 and 2 with straight-through rounding and the gradient scale of section 2.2."""
    factor = 1 / math.sqrt(values * 127)
    step = step * factor + (step - step * factor).detach()
    level = (x / step).clamp(-128, 127)
    return (level + (level.round() - level).detach()) * step


@pytest.mark.parametrize("axis", [None, 0])
def test_value_and_gradients_are_those_of_the_paper(axis: int | None) -> None:
    x = (4 * values(5, 3, 7, 4)).requires_grad_()
    start = torch.full((5, 1, 1, 1) if axis == 0 else (), 0.06) * (1 if axis is None else 1.3)
    log_step = start.flatten().log() if axis == 0 else start.log()
    log_step.requires_grad_()
    weigh = values(5, 3, 7, 4)
    output = learned_quantize(x, log_step, axis, values=84)
    (output * weigh).sum().backward()
    assert x.grad is not None
    assert log_step.grad is not None
    other = x.detach().clone().requires_grad_()
    step = log_step.detach().exp().view(start.shape).requires_grad_()
    expected = reference(other, step, 84)
    (expected * weigh).sum().backward()
    assert other.grad is not None
    assert step.grad is not None
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(x.grad, other.grad)
    # d / d log s = s d / ds
    chained = (step.grad * step).flatten() if axis == 0 else step.grad * step
    torch.testing.assert_close(log_step.grad, chained.detach(), rtol=1e-4, atol=1e-6)


def test_a_learned_scale_rounds_as_the_fixed_one_to_the_bit() -> None:
    quantizer = ActivationQuantizer()
    quantizer.set_amax(2.5)
    quantizer.learn()
    assert list(quantizer.state_dict()) == ["log_scale"]
    x = values(2, 3, 8, 9)
    learned = quantizer(x)
    quantizer.freeze()
    assert list(quantizer.state_dict()) == ["scale"]
    assert quantizer.scale is not None
    assert quantizer.scale.dtype == torch.float32
    assert torch.equal(quantizer(x), learned)


def test_learning_repairs_a_range_that_is_far_too_wide() -> None:
    x = values(2, 8, 16, 17)
    quantizer = ActivationQuantizer()
    quantizer.set_amax(100.0)
    quantizer.learn()
    before = float((quantizer(x) - x).detach().square().mean())
    optimizer = torch.optim.Adam(quantizer.parameters(), lr=0.05)
    for _ in range(80):
        loss = (quantizer(x) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(quantizer.step()) > 0
    assert float(loss.detach()) < before / 25


def test_every_scale_of_a_network_becomes_a_parameter_but_a_residual_range() -> None:
    fake = quantized_layer(nn.Conv2d(3, 8, 3))
    assert isinstance(fake, QuantConv2d)
    net = nn.Sequential(ActivationQuantizer(), fake, ResidualObserver())
    learn_scales(net)
    assert sorted(net.state_dict()) == [
        "0.log_scale", "1.bias", "1.log_weight_scale", "1.weight", "2.scale",
    ]  # fmt: skip
    net(values(2, 3, 9, 11)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())
    torch.testing.assert_close(weight_step(fake), weight_scale(fake.weight, 0))
    with torch.no_grad():
        assert fake.log_weight_scale is not None
        fake.log_weight_scale += 0.3
    before = net(values(2, 3, 9, 11))
    freeze_scales(net)
    assert torch.equal(net(values(2, 3, 9, 11)), before)
    assert fake.weight_scale is not None
    assert torch.equal(
        fake(values(2, 3, 9, 11)),
        nn.functional.conv2d(
            values(2, 3, 9, 11), quantize_weight(fake.weight, 0, fake.weight_scale), fake.bias
        ),
    )


def test_the_optimizer_moves_learned_scales_at_their_own_rate_without_decay() -> None:
    net = nn.Sequential(ActivationQuantizer(), quantized_layer(nn.Conv2d(3, 8, 3)))
    learn_scales(net)
    groups = build_optimizer(net, "adamw", lr=1e-3, weight_decay=0.1).param_groups
    assert [len(group["params"]) for group in groups] == [1, 1, 2]
    assert groups[2]["lr_factor"] == SCALE_LR
    assert groups[2]["weight_decay"] == 0
