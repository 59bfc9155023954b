"""The page of a gate's history: accuracy and time from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edgeseg
from edgeseg.cli.pages.html import markup, write_page
from edgeseg.core.charts import line_chart

# Figure of a history's rows: the title of its chart.
CHARTS = {
    "miou": "mIoU",
    "time_ratio": "time over the in-run reference's",
    "infer_p50_ms": "median time of one inference, ms",
    "peak_bytes": "peak memory, MB",
}
NEWEST = 20


def write_trend_page(path: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Draw each figure of each row over the runs, absolute ones of the newest run's machine only.

    Args:
        path: the file.
        entries: of read_history, oldest first.
    """
    here = entries[-1]["machine"] if entries else None
    charts = [
        (title, markup(chart))
        for key, title in CHARTS.items()
        if (chart := _chart(entries, key, None if key == "miou" else here))
    ]
    write_page(
        path,
        "trend.html",
        version=edgeseg.__version__,
        runs=len(entries),
        machine=here,
        charts=charts,
        newest=[
            (entry["at"], entry["verdict"].replace("_", " "), entry["machine"])
            for entry in reversed(entries[-NEWEST:])
        ],
    )


def _chart(entries: Sequence[Mapping[str, Any]], key: str, machine: str | None) -> str:
    names = sorted({name for entry in entries for name in entry["rows"]})
    scale = 1e-6 if key == "peak_bytes" else 1.0
    lines = [
        (
            name,
            [
                (float(number), entry["rows"][name][key] * scale)
                for number, entry in enumerate(entries, start=1)
                if key in entry["rows"].get(name, {}) and machine in (None, entry["machine"])
            ],
        )
        for name in names
    ]
    return line_chart([line for line in lines if line[1]], "run", "")
