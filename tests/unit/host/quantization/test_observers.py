import pytest
import torch

from edgeseg.errors import UsageError
from edgeseg.host.quantization.observers import (
    BINS,
    OBSERVERS,
    AbsHistogram,
    EmaObserver,
    entropy_amax,
    mse_amax,
    percentile_amax,
)


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


def test_zeros_and_signs_do_not_move_a_range() -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(1))
    with_zeros = torch.cat([x.abs(), torch.zeros(50000)])
    for name in OBSERVERS:
        ranges = []
        for data in (x, with_zeros):
            observer = OBSERVERS[name](99.0)
            observer.update(data)
            ranges.append(observer.amax())
        assert ranges[0] == ranges[1]


@pytest.mark.parametrize("name", ["entropy", "percentile", "mse"])
def test_a_large_frame_is_counted_like_a_small_one(name) -> None:  # type: ignore[no-untyped-def]
    """64 channels at 720x960 are 44 million values, more than float32 counts one by one."""
    small = torch.randn(200_000, generator=torch.Generator().manual_seed(4)).relu()
    ranges = []
    for repeats in (1, 200):
        observer = OBSERVERS[name](99.0)
        observer.update(small.repeat(repeats))
        ranges.append(observer.amax())
    assert ranges[1] == pytest.approx(ranges[0], rel=0.02)


def test_percentile_of_a_uniform_distribution() -> None:
    histogram = filled(torch.linspace(0.0005, 1, 2000))
    assert percentile_amax(histogram, 90.0) == pytest.approx(0.9, abs=2 / BINS)
    assert percentile_amax(histogram, 100.0) == pytest.approx(1.0)


@pytest.mark.parametrize("rule", [entropy_amax, mse_amax])
def test_an_outlier_is_clipped_but_a_uniform_distribution_is_not(rule) -> None:  # type: ignore[no-untyped-def]
    generator = torch.Generator().manual_seed(2)
    body = torch.rand(200_000, generator=generator)
    assert rule(filled(body)) > 0.95
    assert rule(filled(body, torch.tensor([6.0]))) < 4


def test_mse_finds_the_better_of_two_grids() -> None:
    x = torch.randn(100_000, generator=torch.Generator().manual_seed(3))
    chosen = mse_amax(filled(x))

    def error(amax: float) -> float:
        step = amax / 127
        return float(((x / step).round().clamp(-127, 127) * step - x).square().mean())

    assert error(chosen) < error(float(x.abs().max()))
    assert error(chosen) <= 1.02 * min(error(chosen * f) for f in (0.8, 0.9, 1.1, 1.2))


def test_moving_average_follows_jacob() -> None:
    observer = EmaObserver(start=1.0, momentum=0.9)
    assert observer.update(torch.tensor([-2.0, 0.5])) == pytest.approx(1.1)
    assert observer.amax() == pytest.approx(1.1)


def test_nothing_seen_gives_zero_and_infinite_values_are_refused() -> None:
    for name in OBSERVERS:
        observer = OBSERVERS[name](99.0)
        observer.update(torch.zeros(2, 3))
        assert observer.amax() == 0.0
        for value in ("nan", "inf"):
            with pytest.raises(UsageError, match="not finite"):
                observer.update(torch.tensor([1.0, float(value)]))
    with pytest.raises(UsageError, match="not finite"):
        filled(torch.tensor([1.0, float("nan")]))
