"""Boundary F1, against a plain double loop over boundary pixels."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.metrics.boundary_f1 import BoundaryF1, _disc, _widened, boundary_f1
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import UsageError

VOID = 4


def plain_f1(
    truth: np.ndarray, prediction: np.ndarray, label: int, tolerance: float, void: int = VOID
) -> float:
    """The definition in pure Python: distances between all pairs of boundary pixels."""
    height, width = truth.shape

    def edge(labels: np.ndarray) -> list[tuple[int, int]]:
        found = []
        for y in range(height):
            for x in range(width):
                if truth[y, x] == void or labels[y, x] != label:
                    continue
                for dy, dx in ((0, 1), (1, 0), (0, -1), (-1, 0)):
                    v, u = y + dy, x + dx
                    inside = 0 <= v < height and 0 <= u < width
                    if inside and truth[v, u] != void and labels[v, u] != label:
                        found.append((y, x))
                        break
        return found

    ours, theirs = edge(prediction), edge(truth)
    known = truth != void
    in_truth, in_prediction = (truth == label).any(), ((prediction == label) & known).any()
    if not in_truth and not in_prediction:
        return math.nan
    if not in_truth or not in_prediction:
        return 0.0
    if not ours or not theirs:
        return float(len(ours) == len(theirs))
    reach = tolerance * math.hypot(height, width)
    near = [[math.dist(a, b) <= reach for b in theirs] for a in ours]
    precision = sum(any(row) for row in near) / len(ours)
    recall = sum(any(column) for column in zip(*near, strict=True)) / len(theirs)
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


@pytest.mark.parametrize("seed", range(6))
def test_equals_the_plain_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    small = rng.integers(0, VOID + 1, (5, 6)).astype(np.uint8)
    truth = np.kron(small, np.ones((4, 4), np.uint8))
    prediction = np.roll(truth, rng.integers(0, 4, 2), (0, 1))
    tolerance = float(rng.choice([0.0, 0.04, 0.08]))
    found = boundary_f1(truth, prediction, VOID, VOID, tolerance)
    expected = [plain_f1(truth, prediction, k, tolerance) for k in range(VOID)]
    assert found == pytest.approx(expected, nan_ok=True)


def test_matching_is_by_distance_not_one_to_one() -> None:
    truth = np.zeros((40, 40), np.uint8)
    truth[:, 20:] = 1
    shifted = np.zeros((40, 40), np.uint8)
    shifted[:, 21:] = 1
    assert boundary_f1(truth, shifted, 2, VOID, 0.02) == (1.0, 1.0)
    assert boundary_f1(truth, shifted, 2, VOID, 0.0) == (0.0, 0.0)


@pytest.mark.parametrize("reach", [0.0, 1.0, 1.5, 4.5, 9.0])
def test_widening_is_the_distance_transform(reach: float) -> None:
    edge = np.random.default_rng(1).random((60, 80)) < 0.005
    distance = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert (_widened(edge, _disc(reach)) == (distance <= reach)).all()


def test_the_rim_of_void_is_no_boundary() -> None:
    truth = np.full((20, 30), VOID, np.uint8)
    truth[5:15, 5:25] = 1
    prediction = np.zeros((20, 30), np.uint8)
    prediction[5:15, 5:25] = 1
    scores = boundary_f1(truth, prediction, 2, VOID)
    assert math.isnan(scores[0])
    assert scores[1] == 1.0


def test_a_missed_and_an_invented_class_score_zero() -> None:
    truth = np.zeros((20, 30), np.uint8)
    truth[5:10, 5:10] = 1
    prediction = np.zeros((20, 30), np.uint8)
    prediction[5:10, 5:10] = 2
    zero, missed, invented, absent = boundary_f1(truth, prediction, VOID, VOID)
    assert (zero, missed, invented) == (1.0, 0.0, 0.0)
    assert math.isnan(absent)


def test_mean_is_over_classes_and_then_over_images() -> None:
    perfect = np.zeros((20, 30), np.uint8)
    perfect[:, 10:] = 1
    wrong = np.full((20, 30), 2, np.uint8)
    score = BoundaryF1(3, VOID)
    score.update(perfect, perfect)
    score.update(perfect, wrong)
    score.update(np.full((20, 30), VOID, np.uint8), wrong)
    assert score.score() == pytest.approx((1.0 + 0.0) / 2)
    assert score.per_class() == pytest.approx((0.5, 0.5, 0.0))
    assert math.isnan(BoundaryF1(3, VOID).score())


def test_other_shapes_are_refused() -> None:
    with pytest.raises(UsageError, match="must be the same"):
        boundary_f1(np.zeros((4, 6), np.uint8), np.zeros((6, 4), np.uint8), 3, VOID)


def test_equals_the_plain_definition_on_masks_of_a_street() -> None:
    frames = SyntheticDrive((72, 96), seed=4, n=40)
    _, truth = frames.frame(0)
    _, prediction = frames.frame(3)
    void = 11
    found = boundary_f1(truth, prediction, void, void, 0.02)
    expected = [plain_f1(truth, prediction, k, 0.02, void) for k in range(void)]
    assert found == pytest.approx(expected, nan_ok=True)
    assert sum(0 < value < 1 for value in found) >= 3


@pytest.mark.camvid
def test_equals_the_plain_definition_on_real_masks(camvid: Path) -> None:
    frames = open_dataset(str(camvid), "val")
    # A part of the picture: the plain definition compares all pairs of pixels.
    truth, later = (frames[i].labels[120:240, 160:320] for i in (7, 9))
    prediction = np.where(later == 11, np.uint8(0), later)
    found = boundary_f1(truth, prediction, 11, 11, 0.01)
    expected = [plain_f1(truth, prediction, k, 0.01, 11) for k in range(11)]
    assert found == pytest.approx(expected, nan_ok=True)
    assert sum(0 < value < 1 for value in found) >= 3


@pytest.mark.camvid
def test_real_masks_against_themselves_score_one(camvid: Path) -> None:
    sample = open_dataset(str(camvid), "val")[7]
    assert sample.labels is not None
    score = BoundaryF1(11, 11)
    score.update(sample.labels, sample.labels)
    assert score.score() == 1.0
