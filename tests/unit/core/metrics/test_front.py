"""The Pareto front."""

from edgeseg.core.metrics.front import unbeaten


def difference(one, other):
    return [a - b for a, b in zip(one, other, strict=True)]


def test_what_loses_everywhere_leaves_and_equals_stay():
    points = [(1, 5), (2, 4), (1, 4), (2, 4), (0, 6)]
    assert unbeaten(points, difference) == [0, 1, 3, 4]
    assert unbeaten([], difference) == []


def test_what_cannot_be_compared_is_not_beaten():
    assert unbeaten([1, 2], lambda one, other: ()) == [0, 1]
