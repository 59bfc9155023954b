"""The way onto a model's canvas and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeseg.core.images.fit import letterbox, resize_labels

SIDE = st.integers(1, 40)
LABELS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30), elements=st.integers(0, 255)
)


@given(LABELS, st.integers(0, 20), st.booleans())
def test_padding_alone_is_undone_exactly(labels: np.ndarray, more: int, tall: bool) -> None:
    height, width = labels.shape
    canvas_hw = (height + more, width) if tall else (height, width + more)
    _, placement = letterbox(np.zeros((*labels.shape, 3), np.uint8), canvas_hw)
    assert placement.inner_hw == labels.shape
    assert (placement.invert_labels(placement.place_labels(labels, 255)) == labels).all()


@given(LABELS, SIDE, SIDE)
def test_letterbox_is_undone_exactly_unless_it_shrinks(
    labels: np.ndarray, height: int, width: int
) -> None:
    canvas, placement = letterbox(np.zeros((*labels.shape, 3), np.uint8), (height, width))
    assert canvas.shape == (height, width, 3)
    back = placement.invert_labels(placement.place_labels(labels, 255))
    assert back.shape == labels.shape
    inner = placement.inner_hw
    if inner[0] >= labels.shape[0] and inner[1] >= labels.shape[1]:
        assert (back == labels).all()
    assert set(np.unique(back)) <= set(np.unique(labels))


@given(LABELS, st.integers(1, 4), st.integers(1, 4))
def test_growing_by_whole_factors_repeats_pixels(
    labels: np.ndarray, down: int, across: int
) -> None:
    height, width = labels.shape
    grown = resize_labels(labels, (height * down, width * across))
    assert (grown == labels.repeat(down, 0).repeat(across, 1)).all()
    assert (resize_labels(grown, labels.shape) == labels).all()
