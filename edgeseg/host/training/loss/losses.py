"""Losses and class weights."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.sampling import spread_indices


def median_frequency_weights(
    dataset: Dataset, *, exponent: float = 1.0, limit: int | None = None
) -> torch.Tensor:
    """Return one float weight per class, median frequency balancing to the power `exponent`.

    freq(c) = pixels of c / pixels of the images in which c occurs; weight(c) = median(freq) /
    freq(c) (Eigen and Fergus 2015, used by SegNet, arXiv 1511.00561, section 3.2). Exponent 0
    gives ones, 0.5 a milder balance. A class that never occurs gets the weight 1. The weights are
    divided by their mean over all labelled pixels, so that the loss keeps its scale.

    Args:
        dataset: labelled samples.
        exponent: 0 to 1.
        limit: read at most this many samples, spread evenly; None reads all.
    """
    n_classes = len(dataset.class_names)
    pixels = np.zeros(n_classes)
    seen_in = np.zeros(n_classes)
    for index in spread_indices(len(dataset), limit or len(dataset)):
        labels = dataset[index].labels
        if labels is None:
            continue
        found = np.bincount(labels.ravel(), minlength=256)[:n_classes]
        pixels += found
        seen_in += (found > 0) * found.sum()
    frequency = np.divide(pixels, seen_in, out=np.full(n_classes, np.nan), where=seen_in > 0)
    weights = np.nan_to_num((np.nanmedian(frequency) / frequency) ** exponent, nan=1.0)
    mean = (weights * pixels).sum() / max(pixels.sum(), 1)
    return torch.tensor(weights / max(mean, 1e-12), dtype=torch.float32)


def segmentation_loss(
    logits: torch.Tensor,
    labels: torch.Tensor,
    *,
    weights: torch.Tensor | None,
    ignore_index: int,
) -> torch.Tensor:
    """Cross-entropy of float logits N,K,h,w against int64 labels N,h,w, void left out.

    The mean is over all labelled pixels, not over the sum of their weights, so that a crop full
    of rare classes counts for more than a crop of road.
    """
    loss = F.cross_entropy(
        logits, labels, weight=weights, ignore_index=ignore_index, reduction="sum"
    )
    return loss / (labels != ignore_index).sum().clamp(min=1)


def distillation_loss(
    student: torch.Tensor, teacher: torch.Tensor, *, temperature: float = 1.0
) -> torch.Tensor:
    """KL divergence of the student's class distribution from the teacher's, mean over pixels.

    Source: Hinton et al., arXiv 1503.02531, section 2 (times temperature squared).
    """
    divergence = F.kl_div(
        F.log_softmax(student / temperature, 1),
        F.log_softmax(teacher / temperature, 1),
        log_target=True,
        reduction="none",
    )
    return divergence.sum(1).mean() * temperature**2
