import pytest

from edgeseg.core.stage_times import Percentiles, StageTimes, frames_per_second, percentiles_ms


def test_fps_counts_gaps_not_stamps():
    stamps = [round(i * 1e9 / 30) for i in range(31)]
    assert frames_per_second(len(stamps), stamps[0], stamps[-1]) == pytest.approx(30.0, abs=1e-6)
    assert frames_per_second(1, 5, 5) is None
    assert frames_per_second(0, 0, 0) is None


def test_percentiles_interpolate_and_convert_to_ms():
    found = percentiles_ms(range(0, 101_000_000, 1_000_000))
    assert found == Percentiles(50.0, 90.0, 99.0)
    assert percentiles_ms([]) is None
    assert percentiles_ms([4_000_000]) == Percentiles(4.0, 4.0, 4.0)


def test_stage_times_keep_the_newest_of_a_full_window():
    times = StageTimes(window=4)
    for value in (100, 100, 100, 100, 2, 2, 2, 2):
        times.add(value * 1_000_000)
    assert len(times) == 8
    assert times.percentiles() == Percentiles(2.0, 2.0, 2.0)
    assert StageTimes().percentiles() is None
