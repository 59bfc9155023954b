"""A bench as tables: for the terminal, the page, CSV and Markdown."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection
from typing import TYPE_CHECKING

from edgeseg.cli.common.output import ratio
from edgeseg.core.metrics import partial_means
from edgeseg.core.report import class_ious
from edgeseg.core.text.names import markdown_cell, one_line

if TYPE_CHECKING:
    from edgeseg.core.report import Report
    from edgeseg.runtime.bench.result import BenchResult

COLUMNS = (
    "row", "runs in", "mIoU", "G", "p50 ms", "p90 ms", "p99 ms", "FPS", "time / reference",
    "memory MB", "mJ", "size MB", "GMAC", "front",
)  # fmt: skip
RATIO_COLUMNS = ("a", "b", "time of a / time of b", "95 % interval", "mIoU of b - a", "verdict")


def rows(result: BenchResult) -> list[tuple[str | None, ...]]:
    """Return a line of COLUMNS for each row."""
    return [_row(report, result) for report in result.rows]


def used(
    result: BenchResult, without: Collection[str] = ()
) -> tuple[tuple[str, ...], list[tuple[str | None, ...]]]:
    """Return the columns in which any row has a figure, and the rows of those columns."""
    lines = rows(result)
    keep = [
        index
        for index, column in enumerate(COLUMNS)
        if column not in without and any(row[index] not in (None, "") for row in lines)
    ]
    columns = tuple(COLUMNS[index] for index in keep)
    return columns, [tuple(row[index] for index in keep) for row in lines]


def ratios(result: BenchResult, *, every: bool = False) -> list[tuple[str | None, ...]]:
    """Return a line of RATIO_COLUMNS for each pair, by default those with the reference row."""
    return [
        (
            r.a,
            r.b,
            f"{r.latency_ratio:.3f}",
            None if r.low is None or r.high is None else f"{r.low:.3f} to {r.high:.3f}",
            None if r.miou_difference is None else f"{r.miou_difference:+.4f}",
            r.verdict,
        )
        for r in result.ratios
        if every or result.reference in (r.a, r.b)
    ]


def notes(result: BenchResult) -> list[str]:
    """Return what must be said of means over fewer classes than a network has."""
    return partial_means(
        {str(row.run["name"]): class_ious(row).values() for row in result.rows if row.accuracy}
    )


def markdown(result: BenchResult, command: str) -> str:
    """Return the rows as a Markdown table to paste, with where and how they were measured."""
    columns, lines_of_cells = used(result)
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    lines += [
        "| " + " | ".join(markdown_cell(cell) if cell else "-" for cell in row) + " |"
        for row in lines_of_cells
    ]
    lines += ["", f"Measured on {machine_line(result)}, rows in turn, with `{command}`."]
    lines += [f"{markdown_cell(note)}." for note in notes(result)]
    lines += [f"Doubtful: {doubt}." for doubt in result.conditions.get("doubts", ())]
    return "\n".join(lines) + "\n"


def figures_csv(result: BenchResult) -> str:
    """Return one line of plain figures for each row: ms, bytes, ratios 0-1."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ("row", "bundle", "precision", "backend", "runs_in", "miou", "global_accuracy",
         "class_accuracy", "p50_ms", "p90_ms", "p99_ms", "fps", "time_ratio", "time_ratio_low",
         "time_ratio_high", "peak_bytes", "joules_per_frame", "bundle_bytes", "macs", "params",
         "pareto")
    )  # fmt: skip
    for report in result.rows:
        accuracy, reference, infer = report.accuracy, report.reference, report.latency_ms["infer"]
        name = str(report.run["name"])
        writer.writerow(
            (one_line(name), one_line(report.bundle.name),
             report.bundle.precision, report.backend["name"],
             report.backend["precision"],
             *((accuracy.miou, accuracy.global_accuracy, accuracy.class_accuracy)
               if accuracy else ("",) * 3),
             infer.p50, infer.p90, infer.p99, report.run["fps_of_infer"],
             *((reference.time_ratio, reference.low, reference.high)
               if reference else ("",) * 3),
             report.memory.peak_bytes if report.memory else "",
             (report.energy or {}).get("joules_per_frame", ""),
             *(report.cost.get(key, "") for key in ("bundle_bytes", "macs", "params")),
             int(name in result.pareto))
        )  # fmt: skip
    return text.getvalue()


def single_times_csv(result: BenchResult) -> str:
    """Return every single time in nanoseconds."""
    from edgeseg.runtime.bench.result import times_csv

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("row", "round", "place", "ns"))
    writer.writerows((one_line(row), *values) for row, *values in times_csv(result))
    return text.getvalue()


def machine_line(result: BenchResult) -> str:
    """Return the machine in a few words."""
    machine, threads = result.machine, result.conditions.get("threads")
    parts = [str(machine.get("board") or machine.get("cpu") or machine.get("architecture"))]
    parts.append(f"{machine.get('cores')} cores")
    parts.append("threads as the runtime chooses" if threads is None else f"{threads} threads")
    return ", ".join(parts)


def _row(report: Report, result: BenchResult) -> tuple[str | None, ...]:
    infer, accuracy, memory = report.latency_ms["infer"], report.accuracy, report.memory
    name, fps = str(report.run["name"]), report.run["fps_of_infer"]
    macs, energy = report.cost.get("macs"), report.energy
    return (
        name,
        str(report.backend["precision"]),
        ratio(accuracy.miou) if accuracy else None,
        ratio(accuracy.global_accuracy) if accuracy else None,
        *(f"{value:.2f}" for value in (infer.p50, infer.p90, infer.p99)),
        f"{fps:.0f}" if fps else None,
        _relative(report, result),
        f"{memory.peak_bytes / 1e6:.1f}" if memory else None,
        f"{1e3 * energy['joules_per_frame']:.1f}" if energy else None,
        f"{report.cost['bundle_bytes'] / 1e6:.1f}" if "bundle_bytes" in report.cost else None,
        f"{macs / 1e9:.2f}" if macs is not None else None,
        "yes" if name in result.pareto else "",
    )


def _relative(report: Report, result: BenchResult) -> str | None:
    reference = report.reference
    if reference is None:
        return "1" if report.run["name"] == result.reference else None
    interval = f"({reference.low:.3f} to {reference.high:.3f})"
    if reference.low <= 1 <= reference.high:
        return f"no difference {interval}"
    return f"{reference.time_ratio:.3f} {interval}"
