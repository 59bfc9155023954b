"""What every observer of the registry holds, those that installed packages add included."""

import pytest
import torch

from edgeseg.errors import UsageError
from edgeseg.host.quantization.observers import OBSERVERS


def test_zeros_and_signs_do_not_move_a_range() -> None:
    x = torch.randn(5000, generator=torch.Generator().manual_seed(1))
    with_zeros = torch.cat([x.abs(), torch.zeros(50000)])
    for name in OBSERVERS:
        ranges = []
        for data in (x, with_zeros):
            observer = OBSERVERS.load(name)(99.0)
            observer.update(data)
            ranges.append(observer.amax())
        assert ranges[0] == ranges[1]


@pytest.mark.parametrize("name", OBSERVERS)
def test_a_large_frame_is_counted_like_a_small_one(name: str) -> None:
    """64 channels at 720x960 are 44 million values, more than float32 counts one by one."""
    small = torch.randn(200_000, generator=torch.Generator().manual_seed(4)).relu()
    ranges = []
    for repeats in (1, 200):
        observer = OBSERVERS.load(name)(99.0)
        observer.update(small.repeat(repeats))
        ranges.append(observer.amax())
    assert ranges[1] == pytest.approx(ranges[0], rel=0.02)


def test_nothing_seen_gives_zero_and_infinite_values_are_refused() -> None:
    for name in OBSERVERS:
        observer = OBSERVERS.load(name)(99.0)
        observer.update(torch.zeros(2, 3))
        assert observer.amax() == 0.0
        for value in ("nan", "inf"):
            with pytest.raises(UsageError, match="not finite"):
                observer.update(torch.tensor([1.0, float(value)]))
