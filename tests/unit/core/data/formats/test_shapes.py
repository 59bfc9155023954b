"""Shapes cover the pixels whose centres they hold."""

import numpy as np
import pytest

from edgeseg.core.data.formats.shapes import circle, points_of, polygon, rectangle, stroke
from edgeseg.errors import DataError


def test_a_triangle_covers_the_centres_inside() -> None:
    inside = polygon(np.array([(0.0, 0.0), (4.0, 0.0), (0.0, 4.0)]), (4, 5))
    # The centres of x + y = 4 lie on the slanted edge, which is a right one: outside.
    assert inside.astype(int).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
        [0, 0, 0, 0, 0],
    ]


def test_a_centre_on_a_left_or_upper_edge_is_inside() -> None:
    inside = rectangle(np.array([(2.5, 2.5), (0.5, 0.5)]), (4, 4))
    assert np.argwhere(inside).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


def test_shapes_that_share_an_edge_share_no_pixel_and_leave_no_gap() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        a, b = rng.uniform(0, 20, 2)
        left = polygon(np.array([(0.0, 0.0), (a, 0.0), (b, 20.0), (0.0, 20.0)]), (20, 20))
        right = polygon(np.array([(a, 0.0), (20.0, 0.0), (20.0, 20.0), (b, 20.0)]), (20, 20))
        assert (left ^ right).all()


def test_a_ring_drawn_in_one_line_has_a_hole() -> None:
    outer = [(0, 0), (6, 0), (6, 6), (0, 6), (0, 0)]
    inner = [(2, 2), (4, 2), (4, 4), (2, 4), (2, 2)]
    inside = polygon(np.array([*outer, *inner], float), (6, 6))
    assert inside.sum() == 36 - 4
    assert not inside[2:4, 2:4].any()


def test_what_lies_outside_of_the_picture_is_cut() -> None:
    inside = polygon(np.array([(-5.0, -5.0), (2.0, -5.0), (2.0, 99.0), (-5.0, 99.0)]), (3, 4))
    assert inside.astype(int).tolist() == [[1, 1, 0, 0]] * 3
    assert not polygon(np.array([(9.0, 0.0), (12.0, 0.0), (9.0, 3.0)]), (3, 4)).any()


def test_a_circle_has_its_area_and_a_polygon_of_it_comes_close() -> None:
    inside = circle(np.array([30.0, 30.0]), 20.0, (60, 60))
    turns = np.linspace(0, 2 * np.pi, 200, endpoint=False)
    outline = 30 + 20 * np.stack([np.cos(turns), np.sin(turns)], 1)
    assert inside.sum() == pytest.approx(np.pi * 400, rel=0.01)
    # Curved outlines agree to 1 % of their pixels.
    assert (inside ^ polygon(outline, (60, 60))).sum() <= 0.01 * inside.sum()


def test_a_line_has_its_width() -> None:
    inside = stroke(np.array([(2.0, 3.0), (8.0, 3.0)]), 2.0, (6, 10))
    assert inside[2:4, 2:8].all()
    assert not inside[[0, 1, 4, 5]].any()


@pytest.mark.parametrize(
    "points", [[1, 2, 3], ["x", 1], [float("nan"), 1], [1e300, 1], [], None, {"a": 1}, [10**400, 1]]
)
def test_points_that_are_none_are_refused(points: object) -> None:
    with pytest.raises(DataError, match="expected points"):
        points_of(points, "a.json")
