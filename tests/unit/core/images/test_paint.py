"""Labels in colours."""

import numpy as np
import pytest

from edgeseg.core.images.paint import colorize, overlay
from edgeseg.errors import UsageError

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 44, 3), np.uint8)


def test_overlay_lets_void_through(rgb: np.ndarray) -> None:
    labels = np.ones(rgb.shape[:2], np.uint8)
    labels[0] = 11
    before = rgb.copy()
    mixed = overlay(rgb, labels, PALETTE, 0.5)
    assert (rgb == before).all()
    assert (mixed[0] == rgb[0]).all()
    expected = 0.5 * rgb[1:] + 0.5 * np.array([0, 255, 0])
    assert np.abs(mixed[1:] - expected).max() <= 1
    assert (overlay(rgb, labels, PALETTE, 1.0)[1:] == (0, 255, 0)).all()
    assert (colorize(labels, PALETTE)[0] == 0).all()
    with pytest.raises(UsageError, match="30x44, its labels are 44x30"):
        overlay(rgb, labels.T, PALETTE)
