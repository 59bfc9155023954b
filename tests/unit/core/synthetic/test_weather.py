import numpy as np
import pytest

from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.core.synthetic.weather import WEATHERS, Weather
from edgeseg.errors import UsageError

SIZE_HW = (90, 120)


@pytest.fixture(scope="module")
def scene():
    return SyntheticDrive(SIZE_HW, seed=3, n=4).frame(1)[0]


@pytest.mark.parametrize("kind", WEATHERS)
def test_a_frame_is_the_same_whenever_it_is_asked_for(scene, kind):
    weather = Weather(kind, 5, SIZE_HW)
    before = scene.copy()
    first = weather.over(scene, 2)
    weather.over(scene, 3)
    assert np.array_equal(weather.over(scene, 2), first)
    assert np.array_equal(scene, before)
    assert first.dtype == np.uint8
    assert np.array_equal(first, scene) == (kind == "clear")


def test_each_kind_takes_away_what_it_should(scene):
    def contrast(kind, rows=slice(None)):
        return Weather(kind, 5, SIZE_HW).over(scene, 0)[rows].std()

    assert Weather("night", 5, SIZE_HW).over(scene, 0).mean() < 0.4 * scene.mean()
    assert contrast("fog", slice(20, 40)) < 0.4 * contrast("clear", slice(20, 40))
    # Near the bonnet there is little air between.
    assert contrast("fog", slice(80, 90)) > 0.6 * contrast("clear", slice(80, 90))
    for kind in ("rain", "snow"):
        assert not np.array_equal(
            Weather(kind, 5, SIZE_HW).over(scene, 0), Weather(kind, 6, SIZE_HW).over(scene, 0)
        )


def test_an_unknown_weather_is_answered():
    with pytest.raises(UsageError, match="did you mean 'fog'"):
        Weather("fogg", 0, SIZE_HW)
