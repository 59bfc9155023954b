import pytest
import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.core.spec import ModelSpec
from edgeseg.host.export.unpool import (
    LoweredPool,
    LoweredUnpool,
    _cell_codes,
    _double,
    lower_unpooling,
)
from edgeseg.host.models import build_model
from edgeseg.host.models.blocks import IndexedMaxPool2d, MaxUnpool2d
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize

SIZES = [(8, 12), (7, 5), (45, 60), (23, 31), (1, 2), (6, 9), (9, 6), (90, 120), (12, 15)]


def inputs(size_hw: tuple[int, int], grid: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(size_hw[0] * 1000 + size_hw[1])
    x = torch.randn(2, 3, *size_hw, generator=generator)
    # A coarse grid and a ReLU give many ties, zeros among them.
    return torch.relu(x / grid).round() * grid if grid else x


CASES = [(0.0, False), (0.1, False), (0.5, False), (0.1, True), (0.5, True)]


@pytest.mark.parametrize("size_hw", SIZES)
@pytest.mark.parametrize(("grid", "stepped"), CASES)
def test_bit_equal_to_torch(size_hw: tuple[int, int], grid: float, stepped: bool) -> None:
    x = inputs(size_hw, grid)
    values, indices = IndexedMaxPool2d()(x)
    lowered_values, codes = LoweredPool(grid if stepped else 0.0)(x)
    assert torch.equal(values, lowered_values)
    decoded = torch.randn(values.shape, generator=torch.Generator().manual_seed(1))
    expected = MaxUnpool2d()(decoded, indices, x)
    assert torch.equal(LoweredUnpool()(decoded, codes, x), expected)


def test_codes_name_the_first_maximum_in_scan_order() -> None:
    x = torch.tensor([[1.0, 1, 0, 2], [1, 1, 2, 2], [0, 3, 0, 0], [0, 3, 0, 0]])
    codes = LoweredPool()(x.view(1, 1, 4, 4))[1]
    assert codes.flatten().tolist() == [4, 3, 3, 4]


@pytest.mark.parametrize("size_hw", [(64, 96), (45, 61)])
@pytest.mark.parametrize("quantized", [False, True])
def test_a_lowered_network_gives_the_same_logits(size_hw: tuple[int, int], quantized: bool) -> None:
    torch.manual_seed(0)
    spec = ModelSpec("segnet-basic", options={"channels": 8, "kernel": 3})
    net: nn.Module = build_model(spec).eval()
    x = torch.randn(2, 3, *size_hw)
    if quantized:
        net, _ = quantize(net, QuantizeOptions(), [x])
    lowered = lower_unpooling(net)
    kinds = {type(layer) for layer in lowered.modules()}
    assert not kinds & {IndexedMaxPool2d, MaxUnpool2d}
    assert {LoweredPool, LoweredUnpool} <= kinds
    steps = [m.step for m in lowered.modules() if isinstance(m, LoweredPool)]
    assert all((step > 0) == quantized for step in steps)
    with torch.no_grad():
        assert torch.equal(lowered(x), net(x))


@pytest.mark.parametrize("step", [0.1, 0.037, 3e-3, 1.7])
@pytest.mark.parametrize("side", ["x", "values"])
def test_one_branch_in_fp16_still_finds_torchs_maxima(step: float, side: str) -> None:
    # Every multiple that INT8 has, with many ties, at an odd size.
    generator = torch.Generator().manual_seed(4)
    x = torch.randint(-128, 128, (2, 8, 45, 61), generator=generator).float() * step
    values, indices = IndexedMaxPool2d()(x)
    height, width = x.shape[-2:]
    branches = {"x": x, "values": _double(values - 0.5 * step, height, width)}
    branches[side] = branches[side].half().float()
    is_max = branches["x"] > branches["values"]
    marked = torch.where(is_max, _cell_codes(height, width, x.dtype), 0.0)
    codes = F.max_pool2d(marked, 2, 2, ceil_mode=True)
    decoded = torch.randn(values.shape, generator=generator)
    expected = MaxUnpool2d()(decoded, indices, x)
    assert torch.equal(LoweredUnpool()(decoded, codes, x), expected)
    # Equality does not stand it: the test would see a comparison without half a step.
    exact = {"x": x, "values": _double(values, height, width)}
    exact[side] = exact[side].half().float()
    assert not torch.equal(exact["x"] == exact["values"], is_max)
