"""`edgeseg bench`: accuracy against latency and memory, side by side."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgeseg.cli.options import PATH, backends_option, data_option, json_option, needs
from edgeseg.cli.output import megabytes, print_json, print_table, progress_bar, ratio, say
from edgeseg.cli.runtimes import chosen_backends
from edgeseg.core.files import atomic_write_text

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.target.bench import BenchResult, Entry

COLUMNS = ("row", "runs in", "mIoU", "G", "C", "infer p50", "p90", "p99", "memory", "front")
RATIO_COLUMNS = ("a", "b", "time of a / time of b", "mIoU of b - mIoU of a")


@click.command(
    name="bench",
    epilog="Example: edgeseg bench model-fp32 model-int8 --data synthetic:64",
)
@click.argument("bundles", nargs=-1)
@data_option(default="synthetic:64")
@click.option("--limit", type=click.IntRange(min=1), help="Use this many images, spread evenly.")
@backends_option
@click.option(
    "--native-float",
    is_flag=True,
    help="Add rows in which OpenVINO chooses the float arithmetic, bf16 on many CPUs.",
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Times each image is timed in its turn.",
)
@click.option("--bf", is_flag=True, help="Measure boundary F1 as well.")
@click.option("--html", type=PATH, help="Write a page with the accuracy-latency plot.")
@click.option("-o", "--out", type=PATH, help="Write the JSON document to this file as well.")
@json_option
@needs("cv2")
def command(
    bundles: tuple[str, ...],
    data: str,
    limit: int | None,
    backends: tuple[str, ...],
    threads: int,
    native_float: bool,
    repeat: int,
    bf: bool,
    html: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Run BUNDLES, folders or zoo names, on each runtime over the same labelled images.

    Without BUNDLES, all of the zoo. The rows take turns, so that a busy machine slows all of them;
    compare ratios, not milliseconds. A row is on the front when no other is both faster and better.
    """
    import json

    from edgeseg.core.dataset import open_dataset
    from edgeseg.core.zoo import default_bundle, find_bundle, zoo_names
    from edgeseg.target.bench import BenchOptions, bench

    loaded = [find_bundle(name) for name in bundles or zoo_names()] or [default_bundle()]
    entries = _entries(loaded, chosen_backends(backends), threads, native_float)
    dataset = open_dataset(data, "val", size_hw=loaded[0].spec.size_hw, limit=limit)
    with progress_bar("bench", len(dataset)) as bar:
        options = BenchOptions(repeat=repeat, boundary=bf)
        result = bench(entries, dataset, options, progress=bar.update)
    if out is not None:
        atomic_write_text(out, json.dumps(result.to_json(), indent=1) + "\n")
    if html is not None:
        _write_page(html, result, dataset.name)
        say(f"page: {html}")
    if as_json:
        print_json(result.to_json())
        return
    print_table(COLUMNS, _rows(result), title=f"{dataset.name}, rows interleaved")
    print_table(RATIO_COLUMNS, _ratios(result))


def _entries(
    bundles: list[Bundle], backends: list[str], threads: int, native_float: bool
) -> list[Entry]:
    from edgeseg.target.bench import Entry

    names = [b.name if b.precision in b.name else f"{b.name} {b.precision}" for b in bundles]
    if len(set(names)) < len(names):
        names = [str(bundle.path) for bundle in bundles]
    entries = []
    for name, bundle in zip(names, bundles, strict=True):
        for backend in backends:
            options = {"threads": threads or None}
            entries.append(Entry(f"{name} {backend}", bundle, backend, options))
            if native_float and backend == "openvino":
                native = {**options, "float_precision": "default"}
                entries.append(Entry(f"{name} {backend} native float", bundle, backend, native))
    return entries


def _rows(result: BenchResult) -> list[tuple[str | None, ...]]:
    rows = []
    for report in result.rows:
        infer, accuracy, memory = report.latency_ms["infer"], report.accuracy, report.memory
        name = str(report.run["name"])
        rows.append(
            (
                name,
                str(report.backend["precision"]),
                *(
                    (ratio(accuracy.miou), ratio(accuracy.global_accuracy))
                    if accuracy
                    else (None, None)
                ),
                ratio(accuracy.class_accuracy) if accuracy else None,
                *(f"{value:.2f} ms" for value in (infer.p50, infer.p90, infer.p99)),
                megabytes(memory.peak_bytes) if memory else None,
                "yes" if name in result.pareto else "",
            )
        )
    return rows


def _ratios(result: BenchResult) -> list[tuple[str, ...]]:
    return [
        (r.a, r.b, f"{r.latency_ratio:.3f}", f"{r.miou_difference:+.4f}") for r in result.ratios
    ]


def _write_page(path: Path, result: BenchResult, data: str) -> None:
    import edgeseg
    from edgeseg.cli.charts import Point, scatter_chart
    from edgeseg.cli.page import markup, write_page

    points = [
        Point(
            report.latency_ms["infer"].p50,
            report.accuracy.miou,
            str(report.run["name"]),
            str(report.backend["name"]),
            str(report.run["name"]) in result.pareto,
        )
        for report in result.rows
        if report.accuracy is not None
    ]
    machine = result.machine
    write_page(
        path,
        "bench.html",
        version=edgeseg.__version__,
        intro=f"{len(result.rows)} rows over {result.rows[0].frames} images of {data}.",
        scatter=markup(scatter_chart(points, "median time of the network, ms", "mIoU")),
        columns=COLUMNS,
        rows=_rows(result),
        ratio_columns=RATIO_COLUMNS,
        ratios=_ratios(result),
        memory_method=next((r.memory.method for r in result.rows if r.memory), "not readable"),
        machine=f"{machine.get('board') or machine.get('cpu')}, {machine.get('cores')} cores",
    )
