import torch

from edgeseg.host.quantization.observers.base import AbsHistogram
from edgeseg.host.quantization.observers.entropy import entropy_amax


def test_an_outlier_is_clipped_but_a_uniform_distribution_is_not() -> None:
    histogram = AbsHistogram()
    histogram.add(torch.rand(200_000, generator=torch.Generator().manual_seed(2)))
    assert entropy_amax(histogram) > 0.95
    histogram.add(torch.tensor([6.0]))
    assert entropy_amax(histogram) < 4
