"""Accuracy of a backend on a labelled dataset."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.dataset import Dataset
from edgeseg.core.image import fit_rgb
from edgeseg.core.metrics import Scores
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError
from edgeseg.target.backends.base import Backend
from edgeseg.target.scoring import Scorer


@dataclasses.dataclass(frozen=True)
class EvalResult:
    """Scores of one evaluation.

    Attributes:
        n_images: labelled images that were scored.
        scores: G, C, mIoU and the figures per class.
        bf: boundary F1, None when it was not asked for.
        class_names: names of the classes, in the order of the figures.
    """

    n_images: int
    scores: Scores
    bf: float | None
    class_names: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the figures of `edgeseg eval --json`; what was not counted is null."""
        scores = self.scores
        return {
            "n_images": self.n_images,
            "global_accuracy": _known(scores.global_accuracy),
            "class_accuracy": _known(scores.class_accuracy),
            "miou": _known(scores.miou),
            "bf": None if self.bf is None else _known(self.bf),
            "per_class": {
                name: {"iou": _known(iou), "accuracy": _known(accuracy)}
                for name, iou, accuracy in zip(
                    self.class_names,
                    scores.per_class_iou,
                    scores.per_class_accuracy,
                    strict=True,
                )
            },
        }


def evaluate(
    backend: Backend,
    spec: ModelSpec,
    dataset: Dataset,
    *,
    boundary: bool = True,
    progress: Callable[[int], None] = lambda done: None,
) -> EvalResult:
    """Run every labelled image through the backend and score it at the image's own size.

    Args:
        backend: open.
        spec: the bundle's spec.
        dataset: labelled images of the same classes.
        boundary: whether to measure BF, which takes longer than the rest.
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
    with Scorer(spec.n_classes, dataset.ignore_index, boundary=boundary) as scorer:
        for done, index in enumerate(range(len(dataset)), start=1):
            sample = dataset[index]
            if sample.labels is not None:
                scorer.add(sample.labels, predict(backend, spec, sample.rgb))
            progress(done)
        if scorer.n == 0:
            raise DataError(f"{dataset.name} has no labelled image; give one that has masks")
        return EvalResult(scorer.n, scorer.scores(), scorer.boundary(), spec.class_names)


def predict(
    backend: Backend, spec: ModelSpec, rgb: UInt8[np.ndarray, "h w 3"]
) -> UInt8[np.ndarray, "h w"]:
    """Return the labels of one picture at its own size; the array is the caller's."""
    fitted, placement = fit_rgb(rgb, spec.size_hw, spec.preprocess.resize)
    return placement.invert_labels(backend.infer(fitted[None])[0])


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value
