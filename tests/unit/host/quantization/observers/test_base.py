import pytest
import torch

from edgeseg.errors import UsageError
from edgeseg.host.quantization.observers.base import BINS, AbsHistogram


def filled(*batches: torch.Tensor) -> AbsHistogram:
    histogram = AbsHistogram()
    for batch in batches:
        histogram.add(batch)
    return histogram


def test_a_growing_range_loses_no_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    small = torch.rand(2, 3, 20, 30, generator=generator)
    large = 7.3 * torch.rand(2, 3, 20, 30, generator=generator)
    histogram = filled(small, large)
    assert histogram.bound == float(small.max()) * 8
    assert float(histogram.counts.sum()) == small.numel() + large.numel()
    below = int((torch.cat([small, large]) < histogram.bound / 2).sum())
    assert float(histogram.counts[: BINS // 2].sum()) == pytest.approx(below, abs=3)


def test_a_histogram_refuses_what_is_not_finite() -> None:
    with pytest.raises(UsageError, match="not finite"):
        filled(torch.tensor([1.0, float("nan")]))
