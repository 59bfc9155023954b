"""Laws of the counts and of what is derived from them."""

from dataclasses import asdict

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgeseg.core.metrics.boundary_f1 import boundary_f1
from edgeseg.core.metrics.confusion import ConfusionMatrix

K = 4
VOID = K
LABELS = st.integers(0, VOID)
SIDES = hnp.array_shapes(min_dims=2, max_dims=2, min_side=2, max_side=14)


@st.composite
def maps(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Truth and prediction of one size, void in both."""
    shape = draw(SIDES)
    return (
        draw(hnp.arrays(np.uint8, shape, elements=LABELS)),
        draw(hnp.arrays(np.uint8, shape, elements=LABELS)),
    )


def matrix(truth: np.ndarray, prediction: np.ndarray) -> ConfusionMatrix:
    counts = ConfusionMatrix(K, VOID)
    counts.update(truth, prediction)
    return counts


@given(maps(), st.data())
def test_counts_add_over_any_split(
    pair: tuple[np.ndarray, np.ndarray], data: st.DataObject
) -> None:
    truth, prediction = pair
    cut = data.draw(st.integers(0, len(truth)))
    parts = matrix(truth[:cut], prediction[:cut]) + matrix(truth[cut:], prediction[cut:])
    whole = matrix(truth, prediction)
    assert (parts.counts == whole.counts).all()
    np.testing.assert_equal(asdict(parts.scores()), asdict(whole.scores()))


@given(maps(), st.randoms(use_true_random=False))
def test_the_order_of_pixels_does_not_matter(pair: tuple[np.ndarray, np.ndarray], random) -> None:
    truth, prediction = pair
    order = list(range(truth.size))
    random.shuffle(order)
    shuffled = matrix(truth.ravel()[order], prediction.ravel()[order])
    assert (shuffled.counts == matrix(truth, prediction).counts).all()


@given(maps())
def test_scores_lie_in_0_to_1_and_iou_below_accuracy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    scores = matrix(*pair).scores()
    for value in (scores.global_accuracy, scores.class_accuracy, scores.miou):
        assert np.isnan(value) or 0 <= value <= 1
    for iou, accuracy in zip(scores.per_class_iou, scores.per_class_accuracy, strict=True):
        assert np.isnan(iou) or np.isnan(accuracy) or 0 <= iou <= accuracy <= 1


@given(maps(), st.permutations(range(K)))
def test_renaming_classes_permutes_their_scores(
    pair: tuple[np.ndarray, np.ndarray], order: list[int]
) -> None:
    table = np.array([*order, VOID], np.uint8)
    before = matrix(*pair).scores()
    after = matrix(table[pair[0]], table[pair[1]]).scores()
    for old, new in enumerate(order):
        np.testing.assert_equal(after.per_class_iou[new], before.per_class_iou[old])
        np.testing.assert_equal(after.per_class_accuracy[new], before.per_class_accuracy[old])
    np.testing.assert_allclose(after.miou, before.miou, rtol=1e-12)
    np.testing.assert_equal(after.global_accuracy, before.global_accuracy)


@given(maps())
def test_perfect_predictions_score_one(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth = pair[0]
    scores = matrix(truth, truth).scores()
    for value in (scores.global_accuracy, scores.class_accuracy, scores.miou):
        assert np.isnan(value) or value == 1.0
    assert all(np.isnan(f) or f == 1.0 for f in boundary_f1(truth, truth, K, VOID))


@given(maps(), st.floats(0.0, 0.2))
def test_boundary_f1_is_symmetric_without_void_and_grows_with_tolerance(
    pair: tuple[np.ndarray, np.ndarray], tolerance: float
) -> None:
    truth, prediction = (np.minimum(labels, K - 1) for labels in pair)
    scores = boundary_f1(truth, prediction, K, VOID, tolerance)
    swapped = boundary_f1(prediction, truth, K, VOID, tolerance)
    np.testing.assert_allclose(scores, swapped, rtol=1e-12)
    wider = boundary_f1(truth, prediction, K, VOID, tolerance * 2)
    assert all(np.isnan(a) or a <= b + 1e-12 for a, b in zip(scores, wider, strict=True))
