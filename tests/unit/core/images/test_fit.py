"""Fitting to a canvas and back."""

import numpy as np
import pytest

from edgeseg.core.images.fit import (
    PAD_VALUE,
    Placement,
    fit_rgb,
    letterbox,
    resize_labels,
    resize_rgb,
)
from edgeseg.errors import DataError, UsageError

PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


@pytest.fixture
def rgb() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (30, 44, 3), np.uint8)


def test_letterbox_pads_and_keeps_the_aspect(rgb: np.ndarray) -> None:
    canvas, placement = letterbox(rgb, (60, 60))
    assert placement == Placement((30, 44), (60, 60), (41, 60), 9, 0)
    assert canvas.shape == (60, 60, 3)
    assert (canvas[:9] == PAD_VALUE).all()
    assert (canvas[50:] == PAD_VALUE).all()
    assert (canvas[9:50] == resize_rgb(rgb, (41, 60))).all()


def test_letterbox_that_only_pads_keeps_every_pixel(rgb: np.ndarray) -> None:
    canvas, placement = letterbox(rgb, (30, 64))
    assert (canvas[:, 10:54] == rgb).all()
    labels = rgb[..., 0]
    there = placement.place_labels(labels, 255)
    assert (there[:, :10] == 255).all()
    assert (placement.invert_labels(there) == labels).all()


def test_fit_follows_the_model_s_rule(rgb: np.ndarray) -> None:
    same, placement = fit_rgb(rgb, (30, 44), "exact")
    assert same is rgb
    assert (placement.invert_labels(rgb[..., 1]) == rgb[..., 1]).all()
    assert (fit_rgb(rgb, (60, 60))[0] == letterbox(rgb, (60, 60))[0]).all()
    stretched, placement = fit_rgb(rgb, (60, 60), "stretch")
    assert (stretched == resize_rgb(rgb, (60, 60))).all()
    assert placement.inner_hw == (60, 60)
    with pytest.raises(DataError, match=r"the frame is 30x44, the model takes 60x60"):
        fit_rgb(rgb, (60, 60), "exact")
    with pytest.raises(UsageError, match="resize is 'crop'"):
        fit_rgb(rgb, (60, 60), "crop")


def test_shrinking_averages_and_growing_interpolates() -> None:
    checks = np.kron(np.indices((6, 8)).sum(0) % 2, np.ones((2, 2))).astype(np.uint8) * 200
    fine = np.dstack([checks] * 3)
    assert (resize_rgb(fine, (3, 4)) == 100).all()
    assert len(np.unique(resize_rgb(fine, (24, 32)))) > 2


def test_labels_are_picked_never_mixed() -> None:
    labels = np.array([[0, 9], [4, 2]], np.uint8)
    assert resize_labels(labels, (4, 6)).tolist() == np.kron(labels, np.ones((2, 3))).tolist()
    assert resize_labels(np.kron(labels, np.ones((3, 3), np.uint8)), (2, 2)).tolist() == (
        labels.tolist()
    )


def test_labels_of_another_size_are_refused(rgb: np.ndarray) -> None:
    _, placement = letterbox(rgb, (60, 60))
    with pytest.raises(UsageError, match="labels are 30x44, but the canvas is 60x60"):
        placement.invert_labels(rgb[..., 0])
    with pytest.raises(UsageError, match="labels are 60x60, but the picture is 30x44"):
        placement.place_labels(np.zeros((60, 60), np.uint8), 255)
