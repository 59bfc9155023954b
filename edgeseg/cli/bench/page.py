"""The page of a bench: plots, pictures and the machine, in one file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import edgeseg
from edgeseg.cli.bench import floor as bench_floor
from edgeseg.cli.bench import table as bench_table
from edgeseg.cli.bench.floor import chart
from edgeseg.cli.pages.bench_charts import distribution_chart, grouped_bars, stacked_bars
from edgeseg.cli.pages.html import markup, write_page
from edgeseg.cli.pages.picture_strip import strip
from edgeseg.core.charts import Point, scatter_chart

if TYPE_CHECKING:
    from edgeseg.core.data.dataset import Dataset
    from edgeseg.core.report import Report
    from edgeseg.runtime.bench.floor import Floor
    from edgeseg.runtime.bench.result import BenchResult

STAGES = ("preprocess", "infer", "postprocess")
# More pictures in a row would be too small to see anything.
BUNDLES_SHOWN = 4
# Names beside more points would lie on each other: they get the numbers of their rows.
NAMED_POINTS = 6


def write_bench_page(
    path: Path,
    result: BenchResult,
    dataset: Dataset,
    command: str,
    *,
    floors: Sequence[Floor] = (),
) -> None:
    """Write the page of one bench.

    Args:
        path: the file.
        result: what was measured, with pictures where some were kept.
        dataset: its palette colours the pictures.
        command: the command line, for the foot of the page.
        floors: of the bundles on a board that is not here.
    """
    first = _first_rows(result.rows)
    columns, lines = bench_table.used(result, without=("G", "front"))
    backends = _backends(result.rows)
    numbered = len(result.rows) > NAMED_POINTS
    if numbered:
        lines = [(f"{number}. {line[0]}", *line[1:]) for number, line in enumerate(lines, 1)]
    write_page(
        path,
        "bench.html",
        version=edgeseg.__version__,
        intro=_intro(result, dataset),
        doubts=result.conditions.get("doubts", ()),
        scatter=markup(_scatter(result, numbered=numbered)),
        numbered=numbered,
        backends=sorted({_backend(row) for row in result.rows if row.accuracy is not None}),
        memory_method=next((r.memory.method for r in result.rows if r.memory), "not readable"),
        columns=columns,
        rows=lines,
        notes=bench_table.notes(result),
        all_backends=backends,
        reference=result.reference,
        rounds=result.rows[0].run["rounds"],
        distributions=markup(
            distribution_chart(
                [
                    (
                        str(row.run["name"]),
                        backends.index(_backend(row)) % 8,
                        _times_ms(result, row),
                    )
                    for row in result.rows
                ],
                "ms",
            )
        ),
        stages=markup(
            stacked_bars(
                [
                    (
                        str(row.run["name"]),
                        {name: found.p50 for name, found in row.latency_ms.items()},
                    )
                    for row in result.rows
                ],
                STAGES,
                "ms",
            )
        ),
        stage_names=STAGES,
        classes_chart=markup(_classes(first)),
        bundle_names=[_bundle(row) for row in first],
        strips=_strips(result, first, dataset),
        palette=list(zip(dataset.class_names, dataset.palette, strict=True)),
        floors=[(floor.to_json(), markup(chart(floor))) for floor in floors],
        floor_columns=bench_floor.COLUMNS,
        floor_rows=bench_floor.rows(floors),
        ratio_columns=bench_table.RATIO_COLUMNS,
        ratios=bench_table.ratios(result, every=True),
        machine=_machine(result),
        command=command,
    )


def _intro(result: BenchResult, dataset: Dataset) -> str:
    seen = max(row.frames for row in result.rows)
    return (
        f"{len(result.rows)} rows over {seen} images of {dataset.name}, all in one process on "
        f"{bench_table.machine_line(result)}."
    )


def _scatter(result: BenchResult, *, numbered: bool) -> str:
    scored = [
        (number, row) for number, row in enumerate(result.rows, 1) if row.accuracy is not None
    ]
    largest = max((row.memory.peak_bytes for _, row in scored if row.memory), default=0)
    points = [
        Point(
            row.latency_ms["infer"].p50,
            row.accuracy.miou,
            str(number) if numbered else str(row.run["name"]),
            _backend(row),
            str(row.run["name"]) in result.pareto,
            # Memory that shrank while a row was opened is an earlier row's, given back.
            max(0.0, row.memory.peak_bytes / largest) if row.memory and largest > 0 else None,
        )
        for number, row in scored
        if row.accuracy is not None
    ]
    return scatter_chart(points, "median time of one inference, ms", "mIoU")


def _classes(rows: Sequence[Report]) -> str:
    tables = [(row.accuracy.per_class_iou or {}) if row.accuracy else {} for row in rows]
    names = list(tables[0]) if tables else []
    series = [
        (_bundle(row), [table.get(name) for name in names])
        for row, table in zip(rows, tables, strict=True)
    ]
    return grouped_bars(names, series, "intersection over union")


def _strips(
    result: BenchResult, rows: Sequence[Report], dataset: Dataset
) -> list[list[tuple[str, str]]]:
    shown = {str(row.run["name"]): _bundle(row) for row in rows[:BUNDLES_SHOWN]}
    return [
        strip(
            image.rgb,
            image.truth,
            {bundle: image.labels[name] for name, bundle in shown.items()},
            dataset.palette,
            dataset.ignore_index,
            image.name,
        )
        for image in result.shown
    ]


def _first_rows(rows: Sequence[Report]) -> list[Report]:
    """Return the first scored row of each bundle: runtimes differ in time, hardly in labels."""
    found: dict[str, Report] = {}
    for row in rows:
        if row.accuracy is not None:
            found.setdefault(row.bundle.sha256, row)
    return list(found.values())


def _times_ms(result: BenchResult, row: Report) -> list[float]:
    return [took / 1e6 for times in result.times_ns[str(row.run["name"])] for took in times]


def _backends(rows: Sequence[Report]) -> list[str]:
    return sorted({_backend(row) for row in rows})


def _backend(row: Report) -> str:
    return str(row.backend["name"])


def _bundle(row: Report) -> str:
    name, precision = row.bundle.name, row.bundle.precision
    return name if precision in name else f"{name} {precision}"


def _machine(result: BenchResult) -> list[tuple[str, Any]]:
    machine, conditions = dict(result.machine), dict(result.conditions)
    lines = [(key, value) for key, value in machine.items() if key != "packages" and value]
    lines += [("runtimes", ", ".join(sorted({str(r.backend["runtime"]) for r in result.rows})))]
    lines += [(f"{name}", version) for name, version in machine.get("packages", {}).items()]
    load, clocks = conditions.get("load_before"), conditions.get("clock_mhz")
    lines += [("load before the run", load), ("threads", conditions.get("threads") or "not set")]
    if clocks and clocks[0]:
        lines.append(("clocks before and after, MHz", " / ".join(f"{mhz:.0f}" for mhz in clocks)))
    share = conditions.get("stolen_share")
    if share is not None:
        lines.append(("time the hypervisor gave to others", f"{share:.4f}"))
    return [(key.replace("_", " "), str(value)) for key, value in lines]
