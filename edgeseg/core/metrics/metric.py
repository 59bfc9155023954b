"""What a metric is: a short name, what it means and, where counts suffice, how it is computed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Metric:
    """One figure 0-1 of a whole set of labelled frames; more is better.

    Attributes:
        symbol: what heads its column: "G".
        meaning: one line for documents and help.
        of: the figure from the counts of a ConfusionMatrix, k classes of truth by k classes
            predicted and, last, "no class"; nan where nothing was counted. None for a metric
            that needs the label maps themselves.
    """

    symbol: str
    meaning: str
    of: Callable[[np.ndarray], float] | None = None
