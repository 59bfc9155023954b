"""The percentile observer: a range that clips a given share of the values."""

from __future__ import annotations

import torch

from edgeseg.host.quantization.observers.base import BINS, AbsHistogram, HistogramObserver


def percentile_amax(histogram: AbsHistogram, percentile: float) -> float:
    """Return the magnitude below which `percentile` per cent of the non-zero values lie.

    Source: Wu et al. 2020 (arXiv 2004.09602), section 3.3; McKinstry et al. 2018.
    """
    cumulative = histogram.counts.cumsum(0)
    wanted = cumulative[-1] * (percentile / 100.0)
    index = int(torch.searchsorted(cumulative, wanted))
    return (min(index, BINS - 1) + 1) * histogram.bound / BINS


def percentile_observer(percentile: float) -> HistogramObserver:
    """Take the range that holds `percentile` per cent of the magnitudes, zeros left out.

    Source: Wu et al. 2020, 3.3.
    """
    return HistogramObserver(lambda histogram: percentile_amax(histogram, percentile))
