"""Measures the accuracy of a backend on a labelled dataset."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Int64, UInt8

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.metrics.confusion import Scores
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.evaluation.scoring import Scorer


@dataclasses.dataclass(frozen=True)
class WorstFrame:
    """An image among the worst.

    Attributes:
        name: its name in the dataset.
        wrong: share of its counted pixels that are wrong, 0-1.
        rgb: the image.
        truth: its labels.
        prediction: what the backend said.
    """

    name: str
    wrong: float
    rgb: UInt8[np.ndarray, "h w 3"]
    truth: UInt8[np.ndarray, "h w"]
    prediction: UInt8[np.ndarray, "h w"]


@dataclasses.dataclass(frozen=True)
class EvalResult:
    """Scores of one evaluation.

    Attributes:
        n_images: labelled images that were scored.
        scores: G, C, mIoU and the figures per class.
        bf: boundary F1, None when it was not asked for.
        class_names: names of the classes, in the order of the figures.
        counts: the confusion matrix, truth by prediction; its last column is "no class".
        class_bf: boundary F1 of each class over the images that have it; empty without BF.
        worst: the images with the largest share of wrong pixels, worst first.
    """

    n_images: int
    scores: Scores
    bf: float | None
    class_names: tuple[str, ...]
    counts: Int64[np.ndarray, "k k1"]
    class_bf: tuple[float, ...] = ()
    worst: tuple[WorstFrame, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the figures of `edgeseg eval --json`; what was not counted is null."""
        scores = self.scores
        class_bf = self.class_bf or (math.nan,) * len(self.class_names)
        return {
            "n_images": self.n_images,
            "global_accuracy": _known(scores.global_accuracy),
            "class_accuracy": _known(scores.class_accuracy),
            "miou": _known(scores.miou),
            **{name: _known(value) for name, value in scores.further.items()},
            "bf": None if self.bf is None else _known(self.bf),
            "per_class": {
                name: {"iou": _known(iou), "accuracy": _known(accuracy), "bf": _known(bf)}
                for name, iou, accuracy, bf in zip(
                    self.class_names,
                    scores.per_class_iou,
                    scores.per_class_accuracy,
                    class_bf,
                    strict=True,
                )
            },
            "confusion": self.counts.tolist(),
            "worst": [{"name": frame.name, "wrong": frame.wrong} for frame in self.worst],
        }


def evaluate(
    backend: Backend,
    spec: ModelSpec,
    dataset: Dataset,
    *,
    boundary: bool = True,
    keep_worst: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> EvalResult:
    """Run every labelled image through the backend and score it at the image's own size.

    Args:
        backend: open.
        spec: the bundle's spec.
        dataset: labelled images of the same classes.
        boundary: whether to measure BF, which takes longer than the rest.
        keep_worst: how many of the worst images to keep, pixels and all.
        progress: called with the number of images done.

    Raises:
        DataError: other classes than the model's, no labelled image, or a damaged image or mask.
        BackendError: the runtime failed.
    """
    if tuple(dataset.class_names) != spec.class_names:
        raise DataError(
            f"{dataset.name} has the classes {', '.join(dataset.class_names)}; the model knows "
            f"{', '.join(spec.class_names)}; evaluate on data of the model's classes"
        )
    worst: list[WorstFrame] = []
    with Scorer(spec.n_classes, dataset.ignore_index, boundary=boundary) as scorer:
        for done, index in enumerate(range(len(dataset)), start=1):
            sample = dataset[index]
            if sample.labels is not None:
                labels = predict(backend, spec, sample.rgb)
                scorer.add(sample.labels, labels)
                if keep_worst:
                    wrong = wrong_share(sample.labels, labels, dataset.ignore_index)
                    worst.append(WorstFrame(sample.name, wrong, sample.rgb, sample.labels, labels))
                    worst = sorted(worst, key=lambda frame: -frame.wrong)[:keep_worst]
            progress(done)
        if scorer.n == 0:
            raise DataError(f"{dataset.name} has no labelled image; give one that has masks")
        return EvalResult(
            scorer.n,
            scorer.scores(),
            scorer.boundary(),
            spec.class_names,
            scorer.counts(),
            scorer.class_boundary(),
            tuple(worst),
        )


def wrong_share(
    truth: UInt8[np.ndarray, "h w"], labels: UInt8[np.ndarray, "h w"], ignore_index: int
) -> float:
    """Return the share of counted pixels that are wrong; 0 where nothing counts."""
    counted = truth != ignore_index
    total = int(np.count_nonzero(counted))
    return float(np.count_nonzero((truth != labels) & counted)) / total if total else 0.0


def predict(
    backend: Backend, spec: ModelSpec, rgb: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w"]:
    """Return the labels of one picture at its own size; the array is the caller's."""
    fitted, placement = fit_rgb(rgb, spec.size_hw, spec.preprocess.resize)
    return placement.invert_labels(backend.infer(fitted[None])[0])


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
