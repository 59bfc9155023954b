import pytest

from edgeseg.runtime.telemetry.energy import POINTS, EnergyCurve

SECOND = 1_000_000_000


def ramp(n: int, step_s: float = 1.0) -> EnergyCurve:
    """Power t watts at t seconds: t²/2 joules."""
    curve = EnergyCurve("test")
    for i in range(n):
        curve.add(round(i * step_s * SECOND), i * step_s)
    return curve


def test_a_stretch_holds_the_joules_between_its_ends():
    curve = ramp(11)
    assert curve.joules(0, 10 * SECOND) == pytest.approx(50.0)
    assert curve.joules(2 * SECOND, 6 * SECOND) == pytest.approx(18 - 2)


def test_per_frame_counts_gaps_not_stamps():
    curve = EnergyCurve("VDD_IN")
    for i in range(10):
        curve.add(i * SECOND, 6.0)
    found = curve.per_frame(31, 2 * SECOND, 5 * SECOND)
    assert found["joules_per_frame"] == pytest.approx(6.0 * 3 / 30)
    assert found["mean_w"] == pytest.approx(6.0)
    assert found["method"].startswith("VDD_IN")


def test_too_few_samples_say_nothing():
    curve = ramp(11)
    assert curve.joules(0, int(1.5 * SECOND)) is None
    assert curve.per_frame(1, 0, 10 * SECOND) is None
    assert EnergyCurve(None).joules(0, SECOND) is None


def test_a_day_stays_small_and_exact():
    n = 20_000
    curve = ramp(n, 0.5)
    end = (n - 1) * 0.5
    assert len(curve.copy()._points) <= POINTS + 1
    assert curve.copy().joules(0, round(end * SECOND)) == pytest.approx(end**2 / 2, rel=1e-9)


def test_a_copy_does_not_grow():
    curve = ramp(5)
    copied = curve.copy()
    curve.add(60 * SECOND, 1000.0)
    assert copied.joules(0, 4 * SECOND) == pytest.approx(8.0)
