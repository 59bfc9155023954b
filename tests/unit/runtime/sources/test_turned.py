"""`?flip=&rotate=` for every source."""

import cv2
import numpy as np
import pytest
from stand_ins import TickingCamera
from tinybundle import expected_labels, random_frame, spec

from edgeseg.core.images.io import write_png
from edgeseg.errors import UsageError
from edgeseg.runtime.sources.base import Frame
from edgeseg.runtime.sources.open import open_source, source_path
from edgeseg.runtime.sources.turned import Turn, TurnedSource, split_turn


@pytest.mark.parametrize(
    ("uri", "rest", "turn"),
    [
        ("v.mp4?flip=h", "v.mp4", Turn("h")),
        ("rtsp://cam/1?rotate=90&channel=2", "rtsp://cam/1?channel=2", Turn("", "90")),
        ("rtsp://cam/1?channel=2&flip=v&rotate=270", "rtsp://cam/1?channel=2", Turn("v", "270")),
        ("csi://0?flip=2&rotate=180", "csi://0?flip=2", Turn("", "180")),
        ("0?rotate=0", "0", Turn()),
        ("img?/*.png", "img?/*.png", Turn()),
    ],
)
def test_what_turns_is_taken_off_and_the_rest_stays(uri, rest, turn):
    assert split_turn(uri) == (rest, turn)


@pytest.mark.parametrize("uri", ["a?flip=x", "a?rotate=45", "a?flip="])
def test_other_values_are_refused(uri):
    with pytest.raises(UsageError, match="expected"):
        split_turn(uri)


def test_pictures_and_their_truth_are_mirrored_and_turned(tmp_path):
    rgb = random_frame(1, (48, 64))
    write_png(tmp_path / "i/a.png", rgb)
    write_png(tmp_path / "m/a.png", expected_labels(rgb))
    uri = f"{tmp_path}/i?flip=h&rotate=90"
    with open_source(uri, spec(), labels=tmp_path / "m") as source:
        found = source.read(1.0)
        assert source.uri == uri
    expected = cv2.rotate(rgb[:, ::-1], cv2.ROTATE_90_CLOCKWISE)
    assert np.array_equal(found.rgb, expected)
    assert np.array_equal(found.truth, expected_labels(expected))
    assert source_path(uri) == tmp_path / "i"


def test_a_live_source_stays_live():
    with TurnedSource(TickingCamera(0.01, frames=3), Turn("", "90")) as source:
        assert source.live
        found = source.read(2.0)
        assert isinstance(found, Frame)
        assert found.rgb.shape == (64, 48, 3)
        assert source.dropped + source.refused + source.reconnects >= 0
