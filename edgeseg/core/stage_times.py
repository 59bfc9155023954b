"""Durations of a pipeline stage, their percentiles, and rates. It reads no clock."""

from __future__ import annotations

import dataclasses
from array import array
from collections.abc import Iterable

NS_PER_MS = 1e6
# A day at 30 FPS is 2.6 million frames; percentiles are taken over the newest of this many, nine
# minutes' worth, so that a long run's memory stays where it is.
WINDOW = 16_384


@dataclasses.dataclass(frozen=True)
class Percentiles:
    """Median, 90th and 99th percentile of one series, in milliseconds."""

    p50: float
    p90: float
    p99: float


class StageTimes:
    """Durations of one stage, in nanoseconds; the newest WINDOW of them are kept."""

    def __init__(self, window: int = WINDOW) -> None:
        """Start empty."""
        self._window = window
        # Reserve everything now: memory that grows for the first nine minutes looks like a leak.
        self._values = array("q", bytes(8 * window))
        self._count = 0

    def __len__(self) -> int:
        """Return how many durations were added in all."""
        return self._count

    def add(self, duration_ns: int) -> None:
        """Add one duration."""
        self._values[self._count % self._window] = duration_ns
        self._count += 1

    def percentiles(self) -> Percentiles | None:
        """Return the percentiles in ms, or None when nothing was added."""
        return percentiles_ms(self._values[: min(self._count, self._window)])


def percentiles_ms(durations_ns: Iterable[int]) -> Percentiles | None:
    """Return p50, p90 and p99 in ms, interpolated linearly between neighbours; None if empty."""
    ordered = sorted(durations_ns)
    if not ordered:
        return None

    def at(share: float) -> float:
        position = share * (len(ordered) - 1)
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        return (ordered[low] + (ordered[high] - ordered[low]) * (position - low)) / NS_PER_MS

    return Percentiles(at(0.5), at(0.9), at(0.99))


def frames_per_second(n_stamps: int, first_ns: int, last_ns: int) -> float | None:
    """Return (stamps - 1) / (last - first): n stamps enclose n - 1 gaps. None below two stamps."""
    if n_stamps < 2 or last_ns <= first_ns:
        return None
    return (n_stamps - 1) * 1e9 / (last_ns - first_ns)
