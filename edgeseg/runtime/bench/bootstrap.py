"""Intervals from the rounds of an interleaved run, and whether two rows differ at all."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence

import numpy as np

LEVEL = 0.95
RESAMPLES = 1000
# Under six rounds even the whole range of the rounds holds the true median with less than 95 %
# (1 - 2 / 2**n), so that no interval can be given.
MIN_ROUNDS = 6
SEED = 0
NO_DIFFERENCE = "no difference"
TOO_FEW = "too few rounds"


@dataclasses.dataclass(frozen=True)
class TimeRatio:
    """How often one row's time goes into another's, over the rounds they shared.

    Attributes:
        value: median over the rounds.
        low: lower end of its 95 % interval.
        high: upper end; 0 to infinity stands for "not known" where the rounds are too few.
    """

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether there were rounds enough for an interval."""
        return self.high != float("inf")

    def verdict(self, a: str, b: str) -> str:
        """Say which row is faster, or that the rounds do not tell: the interval holds 1."""
        if not self.known:
            return TOO_FEW
        if self.low <= 1.0 <= self.high:
            return NO_DIFFERENCE
        return f"{b if self.value > 1 else a} is faster"


def time_ratio(a_ns: Sequence[int], b_ns: Sequence[int]) -> TimeRatio:
    """Return a's time over b's with a percentile bootstrap over the rounds.

    The rounds are resampled, not the single times: neighbours in time share the machine's clock and
    load (Efron and Tibshirani 1993, section 8.5 on blocks; Kalibera and Jones, ISMM 2013, on
    ratios).

    Args:
        a_ns: time of each round, above 0.
        b_ns: of the same rounds.
    """
    ratios = np.array([x / y for x, y in zip(a_ns, b_ns, strict=True)])
    value = float(np.median(ratios))
    if len(ratios) < MIN_ROUNDS:
        return TimeRatio(value, 0.0, float("inf"))
    medians = np.median(ratios[_draws(len(ratios))], axis=1)
    low, high = _tails(medians)
    return TimeRatio(value, min(low, value), max(high, value))


def relative_times(
    rounds_ns: Sequence[Sequence[int]], reference_ns: Sequence[Sequence[int]]
) -> list[list[float]]:
    """Return each time over the mean time of the reference's same round, by round."""
    return [
        [took * len(other) / sum(other) for took in times]
        for times, other in zip(rounds_ns, reference_ns, strict=True)
    ]


def percentile_intervals(
    rounds_ns: Sequence[Sequence[int | float]],
) -> dict[str, tuple[float, float]]:
    """Return 95 % intervals of p50, p90 and p99, in the unit of the times.

    Empty below MIN_ROUNDS rounds.
    """
    if len(rounds_ns) < MIN_ROUNDS:
        return {}
    width = min(len(times) for times in rounds_ns)
    # A last, shorter round would make the table ragged; its images are in the figures all the same.
    whole = [times for times in rounds_ns if len(times) >= max(width, len(rounds_ns[0]))]
    table = np.array([times[: len(rounds_ns[0])] for times in whole], np.float64)
    pooled = table[_draws(len(table))].reshape(RESAMPLES, -1)
    tails = np.percentile(pooled, (50, 90, 99), axis=1)
    return {name: _tails(values) for name, values in zip(("p50", "p90", "p99"), tails, strict=True)}


def spread(rounds_ns: Sequence[int]) -> float:
    """Return the middle half of the rounds' times over their median: how busy the machine was."""
    if len(rounds_ns) < 2:
        return 0.0
    quarters = statistics.quantiles(rounds_ns, n=4, method="inclusive")
    return (quarters[2] - quarters[0]) / quarters[1]


def _draws(n: int) -> np.ndarray:
    # A fixed seed: the same times give the same verdict.
    return np.random.default_rng(SEED).integers(0, n, (RESAMPLES, n))


def _tails(values: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(values, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)
