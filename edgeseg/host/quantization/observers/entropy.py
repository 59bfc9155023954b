"""The entropy observer: the range that keeps the distribution best, as TensorRT's."""

from __future__ import annotations

import torch

from edgeseg.host.quantization.observers.base import BINS, LEVELS, AbsHistogram, HistogramObserver


def entropy_amax(histogram: AbsHistogram, stride: int = 8) -> float:
    """Return the range whose clipped and quantized histogram diverges least (KL) from the data's.

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


def entropy_observer(percentile: float) -> HistogramObserver:
    """Keep the distribution (least Kullback-Leibler divergence); the default.

    Source: Migacz 2017, GTC S7310.
    """
    return HistogramObserver(entropy_amax)
