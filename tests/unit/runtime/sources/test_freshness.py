from edgeseg.runtime.sources.freshness import Freshness

MS = 1_000_000
PERIOD = 33 * MS


def regular(freshness: Freshness, n: int, *, begin: int = 0, media: bool = True) -> int:
    for i in range(n):
        at = begin + i * PERIOD
        assert freshness.accept(at, at + 5 if media else None)
    return begin + (n - 1) * PERIOD


def test_a_left_over_frame_after_a_freeze_is_refused_by_its_own_time():
    freshness = Freshness(500 * MS, 30.0)
    last = regular(freshness, 10)
    # Its own time is one period on, but it came 1.5 s later.
    assert not freshness.accept(last + 1500 * MS, last + PERIOD + 5)
    # The camera made this one during the gap and it came at once.
    assert freshness.accept(last + 1533 * MS, last + 1533 * MS + 5)


def test_a_queue_is_refused_until_it_is_caught_up():
    freshness = Freshness(500 * MS, 30.0)
    last = regular(freshness, 10)
    now, given = last + 3000 * MS, []
    for i in range(1, 91):
        now += 2 * MS
        given.append(freshness.accept(now, last + i * PERIOD + 5))
    lags = [(last + 3000 * MS + 2 * MS * i) - (last + i * PERIOD) for i in range(1, 91)]
    assert given == [lag <= 500 * MS for lag in lags]
    assert any(given)
    assert not given[0]


def test_without_the_cameras_time_the_first_after_a_gap_and_its_burst_are_refused():
    freshness = Freshness(500 * MS, 30.0)
    last = regular(freshness, 5, media=False)
    assert not freshness.accept(last + 800 * MS, None)
    assert not freshness.accept(last + 802 * MS, None)
    assert freshness.accept(last + 835 * MS, None)
    assert freshness.accept(last + 837 * MS, None)


def test_a_slow_camera_has_no_gap_between_its_frames():
    freshness = Freshness(500 * MS, 1.0)
    assert all(freshness.accept(i * 1000 * MS, None) for i in range(5))


def test_a_camera_clock_that_begins_anew_is_taken_on():
    freshness = Freshness(500 * MS, 30.0)
    last = regular(freshness, 100)
    assert freshness.accept(last + PERIOD, 0)
    assert freshness.accept(last + 2 * PERIOD, PERIOD)


def test_clocks_that_drift_apart_do_no_harm():
    freshness = Freshness(500 * MS, 30.0)
    # 200 ppm for three hours: 2.2 s in all.
    for i in range(3 * 3600):
        assert freshness.accept(i * 1000 * MS, round(i * 1000 * MS * (1 - 200e-6)))


def test_how_long_it_has_been_behind_is_known():
    freshness = Freshness(500 * MS, 30.0)
    last = regular(freshness, 10)
    assert freshness.behind_ns(last) == 0
    freshness.accept(last + 700 * MS, last)
    freshness.accept(last + 1700 * MS, last + 1000 * MS)
    assert freshness.behind_ns(last + 1700 * MS) == 1000 * MS


def test_a_slow_camera_of_unknown_rate_is_shown_from_its_third_picture_on():
    freshness = Freshness(500 * MS)
    given = [freshness.accept(i * 700 * MS, None) for i in range(6)]
    assert given == [True, False, True, True, True, True]
