import numpy as np
import pytest

from edgeseg.runtime.bench.bootstrap import (
    MIN_ROUNDS,
    NO_DIFFERENCE,
    TOO_FEW,
    percentile_intervals,
    relative_times,
    spread,
    time_ratio,
)


def rounds(seed: int, mean: float, n: int = 24) -> list[int]:
    return [int(x) for x in np.random.default_rng(seed).normal(mean, mean / 10, n)]


def test_a_real_difference_is_named_and_noise_is_not():
    slow, fast, same = rounds(1, 1e7), rounds(2, 5e6), rounds(3, 1e7)
    found = time_ratio(slow, fast)
    assert found.low < 2.0 < found.high
    assert found.verdict("a", "b") == "b is faster"
    assert time_ratio(fast, slow).verdict("a", "b") == "a is faster"
    assert time_ratio(slow, same).verdict("a", "b") == NO_DIFFERENCE


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(200):
        found = time_ratio(rounds(2 * seed, 1e7), rounds(2 * seed + 1, 8e6))
        held += found.low <= 1.25 <= found.high
    assert 0.88 <= held / 200 <= 1.0


def test_too_few_rounds_tell_nothing():
    found = time_ratio([10] * (MIN_ROUNDS - 1), [1] * (MIN_ROUNDS - 1))
    assert found.value == 10
    assert not found.known
    assert found.verdict("a", "b") == TOO_FEW
    assert percentile_intervals([[1, 2]] * (MIN_ROUNDS - 1)) == {}


def test_intervals_enclose_the_percentiles_and_narrow_with_more_rounds():
    few = [rounds(seed, 1e7, 4) for seed in range(8)]
    many = [rounds(seed, 1e7, 4) for seed in range(80)]
    wide, narrow = (percentile_intervals(r)["p50"] for r in (few, many))
    assert wide[0] <= np.median(few) <= wide[1]
    assert narrow[1] - narrow[0] < wide[1] - wide[0]
    assert percentile_intervals([*few, [10**7]])  # a last, shorter round


def test_the_machines_moods_cancel_in_relative_times():
    assert relative_times([[10, 10], [30]], [[20, 20], [60]]) == [[0.5, 0.5], [0.5]]


def test_spread_of_a_steady_and_of_a_busy_machine():
    assert spread([5, 5, 5, 5]) == spread([5]) == 0.0
    assert spread([5, 10, 5, 10]) == pytest.approx(2 / 3)
