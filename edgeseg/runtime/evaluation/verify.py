"""Checks that a bundle gives on this machine what it gave where it was exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.errors import AccuracyMissed
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.backends.open import open_backend

# Runtimes round differently, and a pixel between two classes may go either way. INT8 moves most: a
# value on the other side of a grid step is a whole step off, and each runtime fuses its own layers
# (0.963 and 0.966 on a sound DeepLabv3+). A wrong kernel or a damaged weight moves far more.
MIN_AGREEMENT = {"int8": 0.9, "fp16": 0.98, "fp32": 0.99}
# A network that is hardly trained gives other labels when a frame changes by one grey level, about
# half a step of an INT8 input; no runtime can be held to more than this less the margin.
GREY_LEVELS = 1
SEEDS = 3
MARGIN = 0.1


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        name: of the bundle.
        min_agreement: smallest share of the golden frame's pixels with the recorded label, 0-1.
        results: for each backend what it runs on, `agreement` 0-1, `steadiness` (the runtime's
            smallest agreement with itself when the frame's pixels change by one grey level; None
            where it was not needed), the `expected` agreement, and `ok`.
        preprocess: how a picture is resized here against where the bundle was exported; None for a
            bundle that was exported without a resized picture.
    """

    name: str
    min_agreement: float
    results: Sequence[Mapping[str, Any]]
    preprocess: Mapping[str, Any] | None

    @property
    def resized_alike(self) -> bool:
        """Whether frames are resized here as where the bundle was exported, as far as known."""
        return self.preprocess is None or self.preprocess["ok"]

    @property
    def ok(self) -> bool:
        """Whether every backend and the resize agree with the bundle."""
        return self.resized_alike and all(row["ok"] for row in self.results)

    def check(self) -> None:
        """Raise where something differs.

        Raises:
            AccuracyMissed: labels differ in too many pixels, or frames are resized otherwise.
        """
        bad = [
            f"{row['backend']} {row['agreement']:.4f}, expected at least {row['expected']:.4g}"
            for row in self.results
            if not row["ok"]
        ]
        if bad:
            raise AccuracyMissed(
                f"golden labels of {self.name} agree too little on {'; '.join(bad)}. This is the "
                "share of one frame's pixels with the label that the export recorded, no score: "
                "update the runtime or export the bundle again, and compare mIoU with edgeseg eval"
            )
        if self.preprocess is not None and not self.resized_alike:
            raise AccuracyMissed(
                f"OpenCV {self.preprocess['opencv']} resizes a picture by up to "
                f"{self.preprocess['max_difference']} of 255 otherwise than where {self.name} was "
                f"exported, expected at most {self.preprocess['tolerance']}; use OpenCV 4.11 to 4.x"
            )

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "min_agreement": self.min_agreement,
            "results": [dict(row) for row in self.results],
            "preprocess": self.preprocess,
            "ok": self.ok,
        }


def verify(
    bundle: Bundle,
    backends: Sequence[str],
    options: Callable[[str], Mapping[str, Any]] = lambda name: {},
    min_agreement: float | None = None,
) -> Verification:
    """Run the golden frame on each backend and resize a picture.

    Args:
        bundle: read, with its files checked.
        backends: keys of BACKENDS.
        options: gives the keyword arguments that open a backend, by its name.
        min_agreement: smallest share of equal labels, 0-1; None takes MIN_AGREEMENT, or less where
            the runtime agrees less with itself.

    Raises:
        BackendUnavailable: a runtime is not installed.
        BackendError: a runtime refuses the graph.
    """
    golden = bundle.golden()
    fixed = min_agreement is not None
    if min_agreement is None:
        min_agreement = MIN_AGREEMENT[bundle.precision]
    results: list[dict[str, Any]] = []
    for name in backends:
        with open_backend(name, bundle, **options(name)) as backend:
            labels = backend.infer(golden.frame).copy()
            agreement = float((labels == golden.labels).mean())
            expected, steady = min_agreement, None
            if agreement < min_agreement and not fixed:
                steady = steadiness(backend, golden.frame, labels)
                expected = min(min_agreement, steady - MARGIN)
            results.append(
                {
                    "backend": name,
                    **backend.io.to_json(),
                    "agreement": agreement,
                    "steadiness": steady,
                    "expected": expected,
                    "ok": agreement >= expected,
                }
            )
    return Verification(bundle.name, min_agreement, results, _preprocess(bundle))


def steadiness(backend: Backend, frame: np.ndarray, labels: np.ndarray) -> float:
    """Return the smallest agreement of a runtime with itself under changes too small to see.

    Args:
        backend: an open one.
        frame: uint8 1,h,w,3.
        labels: what it gave for the frame.
    """
    found = []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        noise = rng.integers(-GREY_LEVELS, GREY_LEVELS + 1, frame.shape)
        moved = np.clip(frame.astype(np.int16) + noise, 0, 255).astype(np.uint8)
        found.append(float((backend.infer(moved) == labels).mean()))
    return min(found)


def _preprocess(bundle: Bundle) -> dict[str, Any] | None:
    """Return how a picture is resized here, None for a bundle exported without one."""
    there = bundle.fitted_probe()
    if there is None:
        return None
    import cv2

    from edgeseg.core.images.resize_probe import TOLERANCE, digest, fit_probe, largest_difference

    here = fit_probe(bundle.spec.preprocess.resize)
    steps = largest_difference(here, there)
    return {
        "opencv": cv2.__version__,
        "sha256": digest(here),
        "expected_sha256": digest(there),
        "max_difference": steps,
        "tolerance": TOLERANCE,
        "ok": steps <= TOLERANCE,
    }
