"""The page of a search: the cost of every trial against its mIoU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import edgeseg
from edgeseg.cli.pages.html import markup, write_page
from edgeseg.core.charts import Point, scatter_chart

if TYPE_CHECKING:
    from edgeseg.host.tuning.tried import Tried

PAGE = "tried.html"


def write_tune_page(tried: Tried) -> None:
    """Write the page into the run's folder; without a scored trial there is none."""
    from edgeseg.host.tuning.search import pareto

    scored = [row for row in tried.rows if row["miou"] is not None]
    if not scored:
        return
    front = pareto(tried.points)
    points = [
        Point(row["cost"], row["miou"], str(row["trial"]), "tried", best=index in front)
        for index, row in enumerate(scored)
    ]
    points.append(Point(tried.dense, tried.reference, "as it is", "as it is", best=False))
    write_page(
        tried.folder / PAGE,
        "tune.html",
        version=edgeseg.__version__,
        title=" / ".join(tried.folder.parts[-2:]),
        target=f"{tried.target:.4g} {tried.unit}",
        columns=("trial", tried.unit, "mIoU", "against the start"),
        rows=[
            (row["trial"], f"{row['cost']:.4g}", f"{row['miou']:.4f}", f"{-row['drop']:+.4f}")
            for row in sorted(scored, key=lambda row: -row["miou"])
        ],
        chart=markup(
            scatter_chart(
                points, f"cost, {tried.unit}", "validation mIoU", limit=(tried.target, "target")
            )
        ),
    )
