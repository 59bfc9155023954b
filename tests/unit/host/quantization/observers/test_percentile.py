import pytest
import torch

from edgeseg.host.quantization.observers.base import BINS, AbsHistogram
from edgeseg.host.quantization.observers.percentile import percentile_amax


def test_percentile_of_a_uniform_distribution() -> None:
    histogram = AbsHistogram()
    histogram.add(torch.linspace(0.0005, 1, 2000))
    assert percentile_amax(histogram, 90.0) == pytest.approx(0.9, abs=2 / BINS)
    assert percentile_amax(histogram, 100.0) == pytest.approx(1.0)
