"""The dense CRF's parameters, searched on training images."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgeseg.core.crf.labels import picture_of
from edgeseg.core.crf.mean_field import Kernel, appearance_kernel, mean_field, smoothness_kernel
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.crf.unary import resize_logits
from edgeseg.core.data.dataset import Dataset
from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.metrics.confusion import ConfusionMatrix, Scores
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError
from edgeseg.runtime.backends.base import Backend


@dataclasses.dataclass(frozen=True)
class CrfGrid:
    """Values that are tried; every combination of a stage's.

    The appearance kernel comes first, with the smoothness kernel as it is, then the smoothness
    kernel beside the best appearance kernel: as DeepLab's authors searched, in two stages in place
    of one grid of all five (arXiv 1606.00915, section 4.1).
    """

    appearance: tuple[float, ...] = (1.0, 3.0, 6.0)
    position: tuple[float, ...] = (10.0, 20.0, 50.0)
    colour: tuple[float, ...] = (4.0, 8.0, 16.0)
    smoothness: tuple[float, ...] = (0.0, 1.0, 3.0, 6.0)
    radius: tuple[float, ...] = (1.0, 2.0)

    def first(self, start: CrfOptions) -> list[CrfOptions]:
        """Return the candidates of the appearance kernel."""
        return [
            dataclasses.replace(start, appearance=weight, position=position, colour=colour)
            for position, colour, weight in itertools.product(
                self.position, self.colour, self.appearance
            )
        ]

    def second(self, best: CrfOptions) -> list[CrfOptions]:
        """Return the candidates of the smoothness kernel."""
        return [
            dataclasses.replace(best, smoothness=weight, radius=radius)
            for radius, weight in itertools.product(self.radius, self.smoothness)
        ]


@dataclasses.dataclass(frozen=True)
class CrfTrial:
    """One candidate and its scores; `options` is None for the network without a CRF."""

    options: CrfOptions | None
    scores: Scores


def search_crf(
    backend: Backend,
    spec: ModelSpec,
    dataset: Dataset,
    *,
    grid: CrfGrid = CrfGrid(),
    start: CrfOptions = CrfOptions(),  # noqa: B008 - immutable
    progress: Callable[[int], None] = lambda done: None,
) -> list[CrfTrial]:
    """Score the candidates by mIoU on labelled images, which should be training images.

    Args:
        backend: open; gives scores per class.
        spec: the bundle's spec.
        dataset: labelled images of the model's classes.
        grid: what to try.
        start: the values of what a stage does not vary.
        progress: told the number of images done, twice each image's.

    Returns:
        The network alone, then all candidates, best first; equal ones in the order of the grid.

    Raises:
        DataError: no image has labels.
        BackendError: the runtime failed, or gives no scores.
    """
    done = 0

    def stage(candidates: Sequence[CrfOptions]) -> list[CrfTrial]:
        nonlocal done
        matrices = [ConfusionMatrix(spec.n_classes, dataset.ignore_index) for _ in candidates]
        plain = ConfusionMatrix(spec.n_classes, dataset.ignore_index)
        labelled = 0
        for index in range(len(dataset)):
            sample = dataset[index]
            if sample.labels is not None:
                labelled += 1
                fitted, placement = fit_rgb(sample.rgb, spec.size_hw, spec.preprocess.resize)
                inner = picture_of(fitted)
                logits = resize_logits(backend.logits(fitted[None])[0], spec.size_hw)
                canvas = logits.argmax(0).astype(np.uint8)
                plain.update(sample.labels, placement.invert_labels(canvas))
                cut = np.ascontiguousarray(logits[(slice(None), *inner)])
                picture = np.ascontiguousarray(fitted[inner])
                refined = _all_refined(cut, picture, candidates)
                for matrix, labels in zip(matrices, refined, strict=True):
                    canvas[inner] = labels
                    matrix.update(sample.labels, placement.invert_labels(canvas))
            done += 1
            progress(done)
        if not labelled:
            raise DataError(f"{dataset.name} has no labelled image; give one that has masks")
        trials = [CrfTrial(o, m.scores()) for o, m in zip(candidates, matrices, strict=True)]
        return [CrfTrial(None, plain.scores()), *_ranked(trials)]

    network, *first = stage(grid.first(start))
    assert first[0].options is not None
    _, *second = stage(grid.second(first[0].options))
    known = {trial.options for trial in second}
    return [network, *_ranked([*second, *(t for t in first if t.options not in known)])]


def _ranked(trials: Sequence[CrfTrial]) -> list[CrfTrial]:
    return sorted(trials, key=lambda trial: -trial.scores.miou)


def _all_refined(
    logits: np.ndarray, rgb: np.ndarray, candidates: Sequence[CrfOptions]
) -> Iterator[np.ndarray]:
    """Yield each candidate's labels; kernels of the same widths are made once."""
    widths: tuple[float, float] | None = None
    appearance: Kernel | None = None
    smoothness: dict[float, Kernel] = {}
    for options in candidates:
        if options.appearance and (options.position, options.colour) != widths:
            widths = (options.position, options.colour)
            appearance = appearance_kernel(rgb, *widths)
        if options.smoothness and options.radius not in smoothness:
            smoothness[options.radius] = smoothness_kernel(rgb.shape[:2], options.radius)
        kernels = []
        if options.appearance and appearance is not None:
            kernels.append((options.appearance, appearance))
        if options.smoothness:
            kernels.append((options.smoothness, smoothness[options.radius]))
        yield mean_field(logits, kernels, options.iterations).argmax(0).astype(np.uint8)
