"""The dense CRF's parameters."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError

MOST_ITERATIONS = 100


@dataclasses.dataclass(frozen=True)
class CrfOptions:
    """Weights and widths of the two kernels (Krähenbühl and Koltun 2011, equation 3).

    The defaults are what a grid search over training images chose (docs/crf.md).

    Attributes:
        appearance: weight of the appearance kernel, w1; 0 leaves that kernel out.
        position: its width over the picture, theta alpha, in pixels.
        colour: its width over colours, theta beta, in levels of 0-255.
        smoothness: weight of the smoothness kernel, w2; 0 leaves that kernel out.
        radius: its width over the picture, theta gamma, in pixels.
        iterations: mean-field steps.
    """

    appearance: float = 3.0
    position: float = 20.0
    colour: float = 4.0
    smoothness: float = 3.0
    radius: float = 1.0
    iterations: int = 5

    def __post_init__(self) -> None:
        """Refuse values that mean nothing, all at once."""
        problems = [
            f"{name} is {value}, expected a number of 0 or more"
            for name in ("appearance", "smoothness")
            if not (math.isfinite(value := getattr(self, name)) and value >= 0)
        ]
        problems += [
            f"{name} is {value}, expected a number above 0"
            for name in ("position", "colour", "radius")
            if not (math.isfinite(value := getattr(self, name)) and value > 0)
        ]
        if not 0 <= self.iterations <= MOST_ITERATIONS:
            problems.append(f"iterations is {self.iterations}, expected 0 to {MOST_ITERATIONS}")
        if problems:
            raise UsageError(f"dense CRF: {'; '.join(problems)}")

    def with_settings(self, settings: Mapping[str, Any]) -> CrfOptions:
        """Return these options with some changed by name.

        Raises:
            UsageError: a name is unknown, or a value is impossible.
        """
        names = [field.name for field in dataclasses.fields(self)]
        changed: dict[str, Any] = {}
        for name, value in settings.items():
            if name not in names:
                raise UsageError(unknown("option of the dense CRF", name, names))
            whole = name == "iterations"
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise UsageError(
                    f"dense CRF: {name} is {value!r}, expected a {'whole ' * whole}number"
                )
            changed[name] = value if whole else float(value)
        return dataclasses.replace(self, **changed)

    def to_json(self) -> dict[str, Any]:
        """Return the values by name."""
        return dataclasses.asdict(self)
