import torch

from edgeseg.host.quantization.observers.base import AbsHistogram
from edgeseg.host.quantization.observers.mse import mse_amax


def test_mse_finds_the_better_of_two_grids() -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(3))
    histogram = AbsHistogram()
    histogram.add(x)
    chosen = mse_amax(histogram)

    def error(amax: float) -> float:
        step = amax / 127
        return float(((x / step).round().clamp(-127, 127) * step - x).square().mean())

    assert error(chosen) < error(float(x.abs().max()))
    assert error(chosen) <= 1.02 * min(error(chosen * f) for f in (0.8, 0.9, 1.1, 1.2))


def test_an_outlier_is_clipped_but_a_uniform_distribution_is_not() -> None:
    histogram = AbsHistogram()
    histogram.add(torch.rand(200_000, generator=torch.Generator().manual_seed(2)))
    assert mse_amax(histogram) > 0.95
    histogram.add(torch.tensor([6.0]))
    assert mse_amax(histogram) < 4
