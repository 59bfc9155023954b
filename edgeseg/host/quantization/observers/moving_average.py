"""The observer of a training: a range that follows the batches."""

from __future__ import annotations

import torch


class EmaObserver:
    """An exponential moving average of batch maxima, applied at every batch, for QAT.

    Source: Jacob et al. 2018 (arXiv 1712.05877), section 3.1.
    """

    def __init__(self, start: float, momentum: float = 0.99) -> None:
        """Start from a calibrated range."""
        self._amax = start
        self._momentum = momentum

    def update(self, x: torch.Tensor) -> float | None:
        """Take one batch and return the new range."""
        self._amax += (1 - self._momentum) * (float(x.abs().max()) - self._amax)
        return self._amax

    def amax(self) -> float:
        """Return the running range."""
        return self._amax
