"""What observers are, and the histogram that most of them keep of the batches they see."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from edgeseg.errors import UsageError

BINS = 2048
# torch.histc counts in float32, where adding 1 to this many changes nothing.
COUNTABLE = 1 << 24
# Grid levels of one sign: a symmetric INT8 grid has 127 positive steps.
LEVELS = 127


class Observer(Protocol):
    """Sees batches and knows a range."""

    def update(self, x: torch.Tensor) -> float | None:
        """Take one batch; return the range (amax) if it is to be applied at once."""
        ...

    def amax(self) -> float:
        """Return the range for everything seen, 0 if nothing was."""
        ...


def largest_of(x: torch.Tensor) -> float:
    """Return the largest magnitude of a batch, 0 for an empty one.

    Raises:
        UsageError: a value is not finite.
    """
    largest = float(x.abs().max()) if x.numel() else 0.0
    if not largest < float("inf"):
        raise UsageError("calibration met a value that is not finite; check weights and data")
    return largest


class AbsHistogram:
    """A histogram of |x| over [0, bound] in BINS bins; a larger value doubles the bound.

    Doubling merges neighbouring bins exactly, so the result does not depend on how the data was
    cut into batches, but for the bin width, which the first batch's maximum fixes.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.counts = torch.zeros(BINS, dtype=torch.float64)
        self.bound = 0.0
        self.largest = 0.0

    def add(self, x: torch.Tensor) -> None:
        """Count a batch of any shape."""
        magnitude = x.abs().flatten().float()
        largest = largest_of(magnitude)
        if largest == 0.0:
            # Zeros carry no information about a range, and before the first value no bin width.
            return
        self.largest = max(self.largest, largest)
        if self.bound == 0.0:
            self.bound = largest
        while largest > self.bound:
            merged = self.counts.view(-1, 2).sum(1)
            self.counts = torch.cat([merged, torch.zeros_like(merged)])
            self.bound *= 2
        for part in torch.split(magnitude, COUNTABLE):
            found = torch.histc(part, BINS, 0.0, self.bound).to(torch.float64)
            # Zeros (most of a ReLU's output) are represented exactly by any grid.
            found[0] -= float((part == 0).sum())
            self.counts += found.cpu()


class HistogramObserver:
    """Collects an AbsHistogram and lets a rule choose the range."""

    def __init__(self, rule: Callable[[AbsHistogram], float]) -> None:
        """Start empty."""
        self.histogram = AbsHistogram()
        self._rule = rule

    def update(self, x: torch.Tensor) -> float | None:
        """Take one batch."""
        self.histogram.add(x)
        return None

    def amax(self) -> float:
        """Return the rule's choice, at most the largest value seen."""
        if self.histogram.largest == 0.0:
            return 0.0
        return min(self._rule(self.histogram), self.histogram.largest)
