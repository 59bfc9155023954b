"""The fast rounding has the values of torch's fake-quantizer, to the bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.host.quantization.fake_quant.rounding import INT8_MAX, INT8_MIN, fake_quantize


def both(x: torch.Tensor, scale: torch.Tensor, axis: int | None = None):
    with torch.no_grad():
        fast = fake_quantize(x, scale, axis)
    with torch.enable_grad():
        return fast, fake_quantize(x, scale, axis)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.floats(-30, 20))
def test_values_equal_torchs_to_the_bit_ties_and_clipping_included(seed, exponent):
    generator = torch.Generator().manual_seed(seed)
    scale = torch.rand((), generator=generator) * 2.0**exponent + 1e-12
    levels = torch.randn(3000, generator=generator) * 90
    halves = torch.arange(-140, 140) + 0.5
    x = torch.cat([levels, halves, torch.tensor([0.0, 1e9, -1e9])]) * scale
    fast, reference = both(x, scale)
    assert torch.equal(fast, reference)
    assert (x / scale).abs().max() > INT8_MAX
    assert len(fast.unique()) > 100


@pytest.mark.parametrize("axis", [0, 1])
def test_one_scale_for_each_channel(axis):
    torch.manual_seed(0)
    x = torch.randn(5, 5, 3, 3) * 3
    fast, reference = both(x, torch.rand(5) * 0.05 + 1e-3, axis)
    assert torch.equal(fast, reference)


def test_the_input_is_left_alone_and_gradients_are_torchs():
    x = torch.linspace(-2, 2, 9)
    kept = x.clone()
    with torch.no_grad():
        fake_quantize(x, torch.tensor(0.01))
    assert torch.equal(x, kept)
    x.requires_grad_()
    fake_quantize(x, torch.tensor(0.01)).sum().backward()
    inside = (x.detach() >= INT8_MIN * 0.01) & (x.detach() <= INT8_MAX * 0.01)
    assert torch.equal(x.grad, inside.float())
