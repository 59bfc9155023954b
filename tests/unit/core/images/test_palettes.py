"""Colours that cannot be mistaken for one another, and what is written beside them."""

import cv2
import numpy as np
import pytest

from edgeseg.core.images.legend import with_legend
from edgeseg.core.images.palettes import display_palette
from edgeseg.core.spec import CAMVID_PALETTE
from edgeseg.errors import UsageError


def least_distance(palette) -> float:
    rgb = np.array(palette, np.float32)[None] / 255
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)[0]
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)
    return float(apart[~np.eye(len(palette), dtype=bool)].min())


def test_readable_colours_are_further_apart_than_camvids():
    readable = display_palette("readable", CAMVID_PALETTE)
    assert len(readable) == len(CAMVID_PALETTE)
    assert least_distance(readable) > 1.8 * least_distance(CAMVID_PALETTE)
    assert least_distance(readable) > 45
    assert display_palette("own", CAMVID_PALETTE) == CAMVID_PALETTE
    assert len(display_palette("readable", ((0, 0, 0),) * 256)) == 256
    with pytest.raises(UsageError, match="expected one of own, readable"):
        display_palette("nice", CAMVID_PALETTE)


def test_a_legend_fits_into_any_picture():
    rows = [(f"class {i} ü", (255, 0, 0)) for i in range(20)] + [("12.0 FPS", None)]
    for shape in ((1, 1, 3), (48, 64, 3), (400, 600, 3)):
        rgb = np.full(shape, 90, np.uint8)
        found = with_legend(rgb, rows)
        assert found.shape == shape
        assert (rgb == 90).all()
    assert (found[:, 500:] == 90).all()
    assert ((found == (255, 0, 0)).all(axis=2)).sum() > 20
    assert np.array_equal(with_legend(rgb, []), rgb)
