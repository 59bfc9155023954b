"""The max observer: a range that holds everything seen."""

from __future__ import annotations

import torch

from edgeseg.host.quantization.observers.base import largest_of


class MaxObserver:
    """The largest magnitude seen. Source: Jacob et al. 2018, section 3.1, without the decay."""

    def __init__(self) -> None:
        """Start empty."""
        self._largest = 0.0

    def update(self, x: torch.Tensor) -> float | None:
        """Take one batch."""
        self._largest = max(self._largest, largest_of(x))
        return None

    def amax(self) -> float:
        """Return the maximum."""
        return self._largest


def max_observer(percentile: float) -> MaxObserver:
    """Take the largest magnitude.

    Source: Jacob et al. 2018, 3.1.
    """
    return MaxObserver()
