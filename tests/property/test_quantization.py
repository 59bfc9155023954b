"""Laws of the INT8 grid."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeseg.host.export.unpool import LoweredPool, LoweredUnpool
from edgeseg.host.quantization.fake_quant.layers import (
    ActivationQuantizer,
    QuantConv2d,
    quantize_weight,
    quantized_layer,
    weight_scale,
)
from edgeseg.host.quantization.observers import OBSERVERS

EPSILON = 1e-5
amaxes = st.floats(1e-4, 1e4)
seeds = st.integers(0, 2**31)


def values(seed: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(amax=amaxes, seed=seeds)
def test_error_is_half_a_step_inside_and_saturation_outside(amax: float, seed: int) -> None:
    quantizer = ActivationQuantizer()
    quantizer.set_amax(amax)
    scale = float(quantizer.scale)
    x = amax * values(seed, (2, 3, 4, 5))
    on_grid = quantizer(x)
    inside = x.abs() <= 127 * scale
    assert ((on_grid - x).abs()[inside] <= scale * (0.5 + EPSILON * 127)).all()
    top, bottom = x > 127.5 * scale, x < -128.5 * scale
    assert torch.allclose(on_grid[top], torch.tensor(127 * scale))
    assert torch.allclose(on_grid[bottom], torch.tensor(-128 * scale))
    assert torch.equal(quantizer(on_grid), on_grid)


@settings(deadline=None)
@given(seed=seeds, gain=amaxes, axis=st.sampled_from([0, None]))
def test_weights_never_saturate_and_scale_with_the_weight(
    seed: int, gain: float, axis: int | None
) -> None:
    weight = values(seed, (6, 3, 3, 3))
    scale = weight_scale(weight, axis)
    step = scale if axis is None else scale.view(-1, 1, 1, 1)
    assert ((quantize_weight(weight, axis) - weight).abs() <= step * (0.5 + EPSILON * 127)).all()
    torch.testing.assert_close(weight_scale(gain * weight, axis), gain * scale)


@settings(deadline=None)
@given(seed=seeds, name=st.sampled_from(sorted(OBSERVERS)))
def test_a_range_is_positive_and_at_most_the_maximum(seed: int, name: str) -> None:
    x = values(seed, (2, 3, 8, 9))
    observer = OBSERVERS.load(name)(99.9)
    for part in x.split(1):
        observer.update(part)
    assert 0 < observer.amax() <= float(x.abs().max())


@settings(deadline=None)
@given(seed=seeds, order=st.permutations(range(8)))
def test_quantizing_commutes_with_a_permutation_of_output_channels(
    seed: int, order: list[int]
) -> None:
    torch.manual_seed(seed)
    layer = quantized_layer(torch.nn.Conv2d(3, 8, 3))
    assert isinstance(layer, QuantConv2d)
    x = values(seed, (2, 3, 6, 9))
    before = layer(x)[:, order]
    with torch.no_grad():
        layer.weight.copy_(layer.weight[order].clone())
        assert layer.bias is not None
        layer.bias.copy_(layer.bias[order].clone())
    torch.testing.assert_close(layer(x), before, atol=1e-5, rtol=1e-5)


@settings(deadline=None)
@given(
    seed=seeds,
    height=st.integers(1, 13),
    width=st.integers(1, 13),
    grid=st.sampled_from([0.0, 0.25, 1.0]),
)
def test_pool_then_unpool_keeps_each_maximum_in_place(
    seed: int, height: int, width: int, grid: float
) -> None:
    x = values(seed, (2, 3, height, width))
    if grid:
        x = torch.relu((x / grid).round() * grid)
    pooled, codes = LoweredPool(grid)(x)
    back = LoweredUnpool()(pooled, codes, x)
    kept = back != 0
    assert torch.equal(back[kept], x[kept])
    assert int(kept.sum()) == int((pooled != 0).sum())
    assert back.sum().item() == pytest.approx(pooled.sum().item(), abs=1e-3)
