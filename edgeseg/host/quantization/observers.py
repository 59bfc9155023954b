"""Observers: which range a tensor's INT8 grid should cover, from batches that stream by."""

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


def percentile_amax(histogram: AbsHistogram, percentile: float) -> float:
    """Return the magnitude below which `percentile` per cent of the non-zero values lie.

    Source: Wu et al. 2020 (arXiv 2004.09602), section 3.3; McKinstry et al. 2018.
    """
    cumulative = histogram.counts.cumsum(0)
    wanted = cumulative[-1] * (percentile / 100.0)
    index = int(torch.searchsorted(cumulative, wanted))
    return (min(index, BINS - 1) + 1) * histogram.bound / BINS


def mse_amax(histogram: AbsHistogram, candidates: int = 128) -> float:
    """Return the range with the least squared rounding and clipping error on the histogram.

    Source: Shin et al. 2016 (arXiv 1512.01322), section 3 (L2 optimal step); the same criterion
    as Banner et al. 2019 (arXiv 1810.05723), evaluated on the histogram in place of a fitted
    distribution.
    """
    centres = (torch.arange(BINS, dtype=torch.float64) + 0.5) * (histogram.bound / BINS)
    amax = histogram.largest * torch.arange(1, candidates + 1, dtype=torch.float64) / candidates
    step = (amax / LEVELS).unsqueeze(1)
    on_grid = (centres / step).round().clamp_max(LEVELS) * step
    error = ((centres - on_grid).square() * histogram.counts).sum(1)
    return float(amax[int(error.argmin())])


def entropy_amax(histogram: AbsHistogram, stride: int = 8) -> float:
    """Return the range whose clipped and quantised histogram diverges least (KL) from the data's.

    Source: Migacz 2017, "8-bit inference with TensorRT" (GTC S7310), slides 38-40; the search is
    the one of TensorRT's histogram calibrator, with every `stride`-th candidate tried.
    """
    counts = histogram.counts
    used = int((counts > 0).nonzero()[-1]) + 1
    levels = LEVELS + 1
    if used <= levels:
        return used * histogram.bound / BINS
    best, best_divergence = used, float("inf")
    for length in range(levels, used + 1, stride):
        inside = counts[:length]
        reference = inside.clone()
        reference[-1] += counts[length:].sum()
        present = inside > 0
        level = torch.arange(length) * levels // length
        total = torch.zeros(levels, dtype=torch.float64).index_add_(0, level, inside)
        cells = torch.zeros(levels, dtype=torch.float64).index_add_(
            0, level, present.to(torch.float64)
        )
        spread = (total / cells.clamp_min(1))[level] * present
        p, q = reference / reference.sum(), spread / spread.sum().clamp_min(1e-300)
        # A bin that only the clipped outliers fill would be infinitely unlikely under q.
        both = p > 0
        divergence = float((p[both] * (p[both] / q[both].clamp_min(1e-12)).log()).sum())
        if divergence < best_divergence:
            best, best_divergence = length, divergence
    return (best - 0.5) * histogram.bound / BINS


OBSERVERS: dict[str, Callable[[float], Observer]] = {
    "max": lambda percentile: MaxObserver(),
    "percentile": lambda percentile: HistogramObserver(
        lambda histogram: percentile_amax(histogram, percentile)
    ),
    "entropy": lambda percentile: HistogramObserver(entropy_amax),
    "mse": lambda percentile: HistogramObserver(mse_amax),
}
