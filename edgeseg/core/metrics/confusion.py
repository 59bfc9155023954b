"""The confusion matrix and the scores that follow from it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from edgeseg.core.metrics import METRICS, counted_metrics
from edgeseg.core.metrics.metric import Metric
from edgeseg.errors import DataError, UsageError


@dataclasses.dataclass(frozen=True)
class Scores:
    """Ratios 0-1 of one confusion matrix; nan where nothing was counted.

    Attributes:
        global_accuracy: share of the counted pixels that are right (G).
        class_accuracy: mean over classes of each class's share found (C).
        miou: mean over classes of intersection over union.
        per_class_accuracy: one per class, nan for a class that the truth lacks.
        per_class_iou: one per class, nan for a class that truth and prediction both lack.
        further: the other metrics of METRICS that follow from the counts, by name.
    """

    global_accuracy: float
    class_accuracy: float
    miou: float
    per_class_accuracy: tuple[float, ...]
    per_class_iou: tuple[float, ...]
    further: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; nan becomes None, because JSON has no nan."""

        def plain(value: float) -> float | None:
            return None if math.isnan(value) else value

        return {
            "global_accuracy": plain(self.global_accuracy),
            "class_accuracy": plain(self.class_accuracy),
            "miou": plain(self.miou),
            "classes_in_miou": sum(not math.isnan(value) for value in self.per_class_iou),
            "per_class_accuracy": [plain(value) for value in self.per_class_accuracy],
            "per_class_iou": [plain(value) for value in self.per_class_iou],
            **{name: plain(value) for name, value in self.further.items()},
        }


class ConfusionMatrix:
    """Counts of truth (rows) against prediction (columns), added up over a whole set.

    Void pixels are left out wherever the truth is void. A prediction of void, or of a value
    that is not a class, on a counted pixel is a miss: it is counted in a column of its own and
    lowers the scores.
    """

    def __init__(self, n_classes: int, ignore_index: int) -> None:
        """Start from zero.

        Raises:
            UsageError: the classes or the ignored label do not fit a uint8 label.
        """
        if not 1 <= n_classes <= 255:
            raise UsageError(f"{n_classes} classes given, 1 to 255 fit a uint8 label")
        if not n_classes <= ignore_index <= 255:
            raise UsageError(f"ignore_index {ignore_index} must lie in {n_classes}..255")
        self.n_classes = n_classes
        self.ignore_index = ignore_index
        # every pair of two bytes: counting needs no look-up per pixel, and nothing is lost
        self._pairs = np.zeros((256, 256), np.int64)

    @property
    def counts(self) -> Int64[np.ndarray, "k k1"]:
        """The counts: k classes of truth by k classes predicted and, last, "no class"."""
        k = self.n_classes
        return np.column_stack([self._pairs[:k, :k], self._pairs[:k, k:].sum(1)])

    @property
    def pairs(self) -> Int64[np.ndarray, "256 256"]:
        """Every pair of labels counted so far, truth by prediction: all there is to add up."""
        return self._pairs

    @classmethod
    def of_pairs(
        cls, pairs: Int64[np.ndarray, "256 256"], n_classes: int, ignore_index: int
    ) -> ConfusionMatrix:
        """Return a matrix with these counts, such as a sum over processes."""
        matrix = cls(n_classes, ignore_index)
        matrix._pairs = pairs
        return matrix

    def update(
        self, truth: UInt8[np.ndarray, "*size"], prediction: UInt8[np.ndarray, "*same"]
    ) -> None:
        """Add pixels; any shape, the same for both. After an error nothing was added.

        Raises:
            UsageError: the shapes differ.
            DataError: the truth holds labels that are neither a class nor ignored.
        """
        if truth.shape != prediction.shape:
            raise UsageError(
                f"truth is {truth.shape}, prediction is {prediction.shape}; they must be the same"
            )
        cells = truth.ravel().astype(np.intp)
        cells <<= 8
        cells |= prediction.ravel()
        pairs = np.bincount(cells, minlength=1 << 16).reshape(256, 256)
        unknown = np.flatnonzero(pairs[self.n_classes :].any(1)) + self.n_classes
        unknown = unknown[unknown != self.ignore_index]
        if len(unknown):
            raise DataError(
                f"the truth has unknown labels {unknown.tolist()}; expected "
                f"0-{self.n_classes - 1} or {self.ignore_index} (void)"
            )
        self._pairs += pairs

    def __add__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        """Return the counts of both sets together."""
        if (self.n_classes, self.ignore_index) != (other.n_classes, other.ignore_index):
            raise UsageError("confusion matrices of other classes cannot be added")
        total = ConfusionMatrix(self.n_classes, self.ignore_index)
        total._pairs = self._pairs + other._pairs
        return total

    def scores(self) -> Scores:
        """Return G, C, mIoU and the figures per class, all from these counts.

        G = sum_i n_ii / sum_i t_i, C = mean_i n_ii / t_i,
        mIoU = mean_i n_ii / (t_i + sum_j n_ji - n_ii) (SegNet, arXiv 1511.00561, section 4.1).
        A class that the truth lacks is left out of C's mean, and one that truth and prediction
        both lack is left out of mIoU's; predicted but absent from the truth, it counts as 0.
        """
        counts = self.counts
        figures = {name: METRICS.load(name).of(counts) for name in counted_metrics()}
        return Scores(
            global_accuracy=figures.pop("global_accuracy"),
            class_accuracy=figures.pop("class_accuracy"),
            miou=figures.pop("miou"),
            per_class_accuracy=tuple(class_accuracies(counts).tolist()),
            per_class_iou=tuple(class_ious(counts).tolist()),
            further=figures,
        )


def class_accuracies(counts: Int64[np.ndarray, "k k1"]) -> Float64[np.ndarray, " k"]:
    """Return each class's share found, n_ii / t_i; nan for a class that the truth lacks."""
    return _ratio(np.diagonal(counts).astype(np.float64), counts.sum(1).astype(np.float64))


def class_ious(counts: Int64[np.ndarray, "k k1"]) -> Float64[np.ndarray, " k"]:
    """Return n_ii / (t_i + sum_j n_ji - n_ii); nan where truth and prediction lack the class."""
    counts = counts.astype(np.float64)
    right = np.diagonal(counts)
    return _ratio(right, counts.sum(1) + counts[:, : len(counts)].sum(0) - right)


def global_accuracy(counts: Int64[np.ndarray, "k k1"]) -> float:
    """Return sum_i n_ii / sum_i t_i; nan where nothing was counted."""
    total = int(counts.sum())
    return int(np.trace(counts)) / total if total else float("nan")


def _ratio(part: Float64[np.ndarray, " k"], whole: Float64[np.ndarray, " k"]) -> np.ndarray:
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def _mean_of_present(values: Float64[np.ndarray, " k"]) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float("nan")


GLOBAL_ACCURACY = Metric("G", "share of the counted pixels that are right", global_accuracy)
CLASS_ACCURACY = Metric(
    "C",
    "mean over classes of the share of a class's pixels that is found",
    lambda counts: _mean_of_present(class_accuracies(counts)),
)
MEAN_IOU = Metric(
    "mIoU",
    "mean over classes of intersection over union",
    lambda counts: _mean_of_present(class_ious(counts)),
)


def class_shares(labels: UInt8[np.ndarray, "h w"], n_classes: int) -> tuple[float, ...]:
    """Return each class's share of the pixels, 0-1; labels of no class are in none."""
    counts = np.bincount(labels.ravel(), minlength=n_classes)[:n_classes]
    return tuple((counts / labels.size).tolist())
