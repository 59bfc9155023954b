import pytest

from edgeseg.runtime.streaming.rate import MOST_WINDOWS, Rate

MS = 1_000_000


def filled(periods_ms) -> Rate:
    rate, now = Rate(), 0
    rate.add(0, 0)
    for period in periods_ms:
        now += round(period * MS)
        rate.add(now, round(period * MS / 2))
    return rate


def test_a_steady_run_has_its_rate_in_every_window_and_no_drift():
    found = filled([40] * 25 * 30).to_json()
    assert found["fps"] == pytest.approx([25.0] * 30, abs=1.01)
    assert found["fps_drift"] == pytest.approx(0, abs=0.01)
    assert found["infer_drift"] == pytest.approx(0, abs=0.001)
    assert found["infer_ms"][3] == 20.0


def test_a_board_that_slows_down_has_a_drift():
    found = filled([20] * 1000 + [40] * 1000).to_json()
    assert found["burst_fps"] == pytest.approx(50, rel=0.02)
    assert found["sustained_fps"] == pytest.approx(25, rel=0.02)
    assert found["fps_drift"] == pytest.approx(-0.5, abs=0.02)
    assert found["infer_drift"] == pytest.approx(1.0, abs=0.02)


def test_a_short_run_says_nothing():
    assert Rate().to_json() is None
    assert filled([100] * 40).to_json() is None


def test_a_day_fits_and_no_frame_is_lost():
    rate = filled([500] * 2 * 3600 * 3)
    found = rate.to_json()
    assert len(found["fps"]) <= MOST_WINDOWS
    assert found["fps"] == pytest.approx([2.0] * len(found["fps"]), rel=0.02)
    assert sum(rate._counts) == 2 * 3600 * 3


def test_a_gap_shows_as_windows_without_frames():
    found = filled([100] * 50 + [3000] + [100] * 50).to_json()
    assert 0.0 in found["fps"]
    assert None in found["infer_ms"]
