"""Checks that a bundle gives on this machine what it gave where it was exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.errors import AccuracyMissed
from edgeseg.runtime.backends.open import open_backend

# Runtimes round differently, and a pixel between two classes may go either way. INT8 moves most: a
# value on the other side of a grid step is a whole step off, and each runtime fuses its own layers
# (0.963 and 0.966 on a sound DeepLabv3+). A wrong kernel or a damaged weight moves far more.
MIN_AGREEMENT = {"int8": 0.9, "fp16": 0.98, "fp32": 0.99}


@dataclasses.dataclass(frozen=True)
class Verification:
    """What was found.

    Attributes:
        name: of the bundle.
        min_agreement: smallest share of the golden frame's pixels with the recorded label, 0-1.
        results: for each backend what it runs on, `agreement` 0-1, and `ok`.
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
        bad = [f"{row['backend']} {row['agreement']:.4f}" for row in self.results if not row["ok"]]
        if bad:
            raise AccuracyMissed(
                f"golden labels of {self.name} agree too little on {', '.join(bad)}, expected at "
                f"least {self.min_agreement}; update the runtime or export the bundle again"
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
        min_agreement: smallest share of equal labels, 0-1; None takes MIN_AGREEMENT.

    Raises:
        BackendUnavailable: a runtime is not installed.
        BackendError: a runtime refuses the graph.
    """
    golden = bundle.golden()
    if min_agreement is None:
        min_agreement = MIN_AGREEMENT[bundle.precision]
    results: list[dict[str, Any]] = []
    for name in backends:
        with open_backend(name, bundle, **options(name)) as backend:
            agreement = float((backend.infer(golden.frame) == golden.labels).mean())
            results.append(
                {
                    "backend": name,
                    **backend.io.to_json(),
                    "agreement": agreement,
                    "ok": agreement >= min_agreement,
                }
            )
    return Verification(bundle.name, min_agreement, results, _preprocess(bundle))


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
