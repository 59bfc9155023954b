"""The metrics by name: what tables, files and pages show of a score, in this order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from edgeseg.core.registry import Registry

METRICS = Registry(
    "metric",
    "metrics",
    {
        "global_accuracy": "edgeseg.core.metrics.confusion:GLOBAL_ACCURACY",
        "class_accuracy": "edgeseg.core.metrics.confusion:CLASS_ACCURACY",
        "miou": "edgeseg.core.metrics.confusion:MEAN_IOU",
        "bf": "edgeseg.core.metrics.boundary_f1:BOUNDARY_F1",
    },
)


def counted_metrics() -> tuple[str, ...]:
    """Return the names of the metrics that follow from the counts of pixels alone."""
    return tuple(name for name in METRICS if METRICS.load(name).of is not None)


def symbols(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the short names that heads of columns have, such as G."""
    return tuple(METRICS.load(name).symbol for name in names)


def fewer_classes(ious: Iterable[float | None]) -> str:
    """Return what must be said of a mean over fewer classes than there are; "" for all of them.

    Args:
        ious: of every class; None or nan where truth and prediction both lack it.
    """
    found = [iou is not None and not math.isnan(iou) for iou in ious]
    if all(found):
        return ""
    return f"mIoU is the mean over {sum(found)} of {len(found)} classes; the others are not there"


def partial_means(rows: Mapping[str, Iterable[float | None]]) -> list[str]:
    """Return what must be said of the rows of a table, once where it is the same of all.

    Args:
        rows: IoU of every class, by the row's name.
    """
    said = {name: fewer_classes(ious) for name, ious in rows.items()}
    if len(set(said.values())) == 1:
        return [line for line in set(said.values()) if line]
    return [f"{name}: {line}" for name, line in said.items() if line]
