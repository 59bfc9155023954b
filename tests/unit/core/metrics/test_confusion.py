"""G, C and mIoU from one matrix, against sums done by hand."""

import math
from importlib.metadata import EntryPoint

import numpy as np
import pytest

from edgeseg.core import metrics, registry
from edgeseg.core.metrics import METRICS, confusion
from edgeseg.core.metrics.confusion import ConfusionMatrix, class_ious, class_shares
from edgeseg.core.metrics.metric import Metric
from edgeseg.core.registry import Registry
from edgeseg.errors import DataError, UsageError

VOID = 3


def matrix(truth: list, prediction: list, classes: int = 3, void: int = VOID) -> ConfusionMatrix:
    counts = ConfusionMatrix(classes, void)
    counts.update(np.array(truth, np.uint8), np.array(prediction, np.uint8))
    return counts


def test_scores_by_hand() -> None:
    scores = matrix([[0, 0, 0, 1], [1, 2, 2, VOID]], [[0, 0, 1, 1], [1, 2, 0, 0]]).scores()
    assert scores.global_accuracy == pytest.approx(5 / 7)
    assert scores.per_class_accuracy == pytest.approx((2 / 3, 1, 1 / 2))
    assert scores.class_accuracy == pytest.approx((2 / 3 + 1 + 1 / 2) / 3)
    assert scores.per_class_iou == pytest.approx((2 / 4, 2 / 3, 1 / 2))
    assert scores.miou == pytest.approx((2 / 4 + 2 / 3 + 1 / 2) / 3)


def test_counts_have_truth_in_rows() -> None:
    counts = matrix([0, 0, 1, 2], [1, 1, 0, 9]).counts
    assert counts.tolist() == [[0, 2, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]]


def test_void_truth_is_left_out_whatever_is_predicted() -> None:
    plain = matrix([0, 1], [0, 0])
    with_void = matrix([0, 1, VOID, VOID, VOID], [0, 0, 0, 2, VOID])
    assert (plain.counts == with_void.counts).all()


def test_predicted_void_is_a_miss() -> None:
    scores = matrix([0, 0, 1, 1], [0, VOID, 1, 200]).scores()
    assert scores.global_accuracy == 0.5
    assert scores.per_class_iou[:2] == (0.5, 0.5)


def test_a_class_absent_from_both_is_left_out_of_the_means() -> None:
    scores = matrix([0, 0, 1, 1], [0, 0, 1, 0]).scores()
    assert math.isnan(scores.per_class_iou[2])
    assert math.isnan(scores.per_class_accuracy[2])
    assert scores.miou == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert scores.class_accuracy == pytest.approx(0.75)


def test_a_class_only_predicted_counts_as_zero_iou() -> None:
    scores = matrix([0, 0], [0, 2]).scores()
    assert scores.per_class_iou[2] == 0.0
    assert math.isnan(scores.per_class_accuracy[2])
    assert scores.miou == pytest.approx(0.25)


def test_nothing_counted_is_nan() -> None:
    scores = ConfusionMatrix(3, VOID).scores()
    assert math.isnan(scores.global_accuracy)
    assert math.isnan(scores.miou)
    assert math.isnan(scores.class_accuracy)


def test_unknown_truth_is_refused_and_adds_nothing() -> None:
    counts = matrix([0], [0])
    with pytest.raises(DataError, match=r"unknown labels \[7, 90\]; expected 0-2 or 3"):
        counts.update(np.array([1, 7, 90], np.uint8), np.zeros(3, np.uint8))
    assert counts.counts.sum() == 1


def test_wrong_use_is_refused() -> None:
    with pytest.raises(UsageError, match="must be the same"):
        ConfusionMatrix(3, VOID).update(np.zeros((2, 3), np.uint8), np.zeros((3, 2), np.uint8))
    with pytest.raises(UsageError, match=r"ignore_index 2 must lie in 3\.\.255"):
        ConfusionMatrix(3, 2)
    with pytest.raises(UsageError, match="0 classes"):
        ConfusionMatrix(0, 255)
    with pytest.raises(UsageError, match="cannot be added"):
        ConfusionMatrix(3, VOID) + ConfusionMatrix(4, 4)


def test_views_and_full_size_masks_are_counted() -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 12, (72, 96)).astype(np.uint8)
    prediction = rng.integers(0, 11, (96, 72)).astype(np.uint8).T
    counts = ConfusionMatrix(11, 11)
    counts.update(truth, prediction)
    expected = [
        [np.count_nonzero((truth == a) & (prediction == b)) for b in range(11)] for a in range(11)
    ]
    assert counts.counts[:, :11].tolist() == expected


def test_shares_of_the_pixels() -> None:
    labels = np.array([[0, 0, 2, 2], [2, 2, 255, 0]], np.uint8)
    assert class_shares(labels, 3) == (0.375, 0.0, 0.5)
    assert class_shares(np.zeros((2, 3), np.uint8), 3) == (1.0, 0.0, 0.0)


FREQUENCY_WEIGHTED = Metric(
    "fwIoU",
    "IoU weighted by how often the truth has each class",
    lambda counts: float(np.nansum(class_ious(counts) * counts.sum(1)) / counts.sum()),
)


def test_an_installed_package_adds_a_metric(monkeypatch):
    point = EntryPoint("fwiou", f"{__name__}:FREQUENCY_WEIGHTED", "edgeseg.metrics")
    monkeypatch.setattr(registry.importlib.metadata, "entry_points", lambda group: [point])
    extended = Registry("metric", "metrics", METRICS)
    monkeypatch.setattr(metrics, "METRICS", extended)
    monkeypatch.setattr(confusion, "METRICS", extended)
    matrix = ConfusionMatrix(2, 255)
    matrix.update(np.array([0, 0, 0, 1], np.uint8), np.array([0, 0, 1, 1], np.uint8))
    scores = matrix.scores()
    assert scores.to_json()["fwiou"] == pytest.approx(2 / 3 * 0.75 + 1 / 2 * 0.25)
    assert scores.miou == pytest.approx((2 / 3 + 1 / 2) / 2)
    names = metrics.counted_metrics()
    assert names == ("global_accuracy", "class_accuracy", "miou", "fwiou")
    assert metrics.symbols(names) == ("G", "C", "mIoU", "fwIoU")


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name):
    metric = METRICS.load(name)
    assert isinstance(metric, Metric)
    assert metric.symbol
    assert metric.meaning
    if metric.of is not None:
        assert np.isnan(metric.of(np.zeros((3, 4), np.int64)))
        assert metric.of(np.eye(3, 4, dtype=np.int64)) == 1.0
