"""The mse observer: the range with the least squared error."""

from __future__ import annotations

import torch

from edgeseg.host.quantization.observers.base import BINS, LEVELS, AbsHistogram, HistogramObserver


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


def mse_observer(percentile: float) -> HistogramObserver:
    """Take the range with the least squared error.

    Source: Shin et al. 2016 (arXiv 1512.01322).
    """
    return HistogramObserver(mse_amax)
