"""`edgeseg bench`: accuracy against latency and memory, side by side."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import (
    PATH,
    backends_option,
    data_option,
    json_option,
    needs,
    reading_options,
    refuse_given,
)
from edgeseg.cli.common.output import answer, print_json, print_table, progress_bar, say, shown
from edgeseg.cli.common.runtimes import backend_options, engine_precision, precision_option
from edgeseg.cli.common.signals import exit_on_signal
from edgeseg.core.data.read_options import ReadOptions
from edgeseg.core.files import atomic_write_text
from edgeseg.core.output_checks import check_files
from edgeseg.core.text.redact import public_words
from edgeseg.lint.boards import BOARDS

REFERENCE = click.Choice(["fp32", "bare", "torch", "all"])

# Enough for an interval of 8 % on all but the noisiest machines (docs/regression-tests.md).
MOST_ROUNDS = 96


@click.command(
    name="bench",
    cls=Verb,
    epilog="Example: edgeseg bench deeplabv3plus-mobilenetv2-camvid"
    " --data synthetic:16 --html bench.html",
)
@click.argument("bundles", nargs=-1)
@data_option(default="synthetic:64")
@reading_options
@click.option("--limit", type=click.IntRange(min=1), help="Use this many images, spread evenly.")
@backends_option
@precision_option("")
@click.option(
    "--native-float",
    is_flag=True,
    help="Add rows in which OpenVINO chooses the float arithmetic, bf16 on many CPUs.",
)
@click.option(
    "--reference",
    "references",
    type=REFERENCE,
    multiple=True,
    help="Add a plain row: the network in FP32 on onnxruntime, that in a bare loop, eager torch.",
)
@click.option(
    "--checkpoint",
    type=PATH,
    help="Weights for --reference.  [default: those of the zoo's model]",
)
@click.option(
    "--rounds",
    type=click.IntRange(min=1),
    default=12,
    show_default=True,
    help="Go over the images again until there were so many rounds.",
)
@click.option(
    "--most-rounds",
    type=click.IntRange(min=0),
    help="Go on to so many while a time ratio's 95 % interval is wider than 8 %; 0 never does.  "
    "[default: 96, or --rounds where that is given]",
)
@click.option(
    "--repeat",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Times each image is timed in its turn.",
)
@click.option("--bf", is_flag=True, help="Measure boundary F1 as well.")
@click.option(
    "--board",
    metavar=f"[{'|'.join(BOARDS)}]",
    help="Compute each layer's floor on this board; computed, never measured.",
)
@click.option("--html", type=PATH, help="Write a page with plots and pictures.")
@click.option("--csv", "csv_path", type=PATH, help="Write one line of figures for each row.")
@click.option("--markdown", type=PATH, help="Write the table to paste into a document.")
@click.option("--export-times", type=PATH, help="Write every single time, in ns, as CSV.")
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
    references: tuple[str, ...],
    checkpoint: Path | None,
    rounds: int,
    most_rounds: int | None,
    repeat: int,
    bf: bool,
    board: str | None,
    html: Path | None,
    csv_path: Path | None,
    markdown: Path | None,
    export_times: Path | None,
    out: Path | None,
    read: ReadOptions,
    as_json: bool,
) -> None:
    """Run BUNDLES, folders or zoo names, on each runtime over the same labelled images.

    Without BUNDLES, all of the zoo. The rows take turns, so that a busy machine slows all of them;
    compare ratios, not milliseconds. It says "faster" only when it is 95 % sure. A row is on the
    front when no other is both faster and better. With --threads the process is pinned to as many
    cores.
    """
    import json

    from edgeseg.cli.bench import floor as bench_floor
    from edgeseg.cli.bench import table as bench_table
    from edgeseg.core.data.census import check_data
    from edgeseg.core.data.open import open_dataset
    from edgeseg.core.zoo import default_bundle, find_bundle, zoo_names
    from edgeseg.host.export.plain_references import REFERENCES, reference_rows
    from edgeseg.runtime.backends.choose import chosen_backends
    from edgeseg.runtime.bench.floor import bundle_floors
    from edgeseg.runtime.bench.row import bundle_entries, chooses_float
    from edgeseg.runtime.bench.run import BenchOptions, bench

    outputs = (
        ("--html", html, "bench.html"),
        ("--csv", csv_path, "bench.csv"),
        ("--markdown", markdown, "bench.md"),
        ("--export-times", export_times, "times.csv"),
        ("-o", out, "bench.json"),
    )
    check_files(outputs, (*bundles, checkpoint, data))
    if not references:
        refuse_given(("checkpoint",), "there is no --reference")
    chosen = chosen_backends(backends)
    engine_precision(chosen)
    if not any(chooses_float(name) for name in chosen):
        refuse_given(("native_float",), "openvino, whose float it is, is not among the backends")
    loaded = [find_bundle(name) for name in bundles or zoo_names()] or [default_bundle()]
    dataset = open_dataset(data, "val", size_hw=loaded[0].spec.size_hw, limit=limit, options=read)
    with shown() as progress:
        check_data(None, dataset, progress=progress)
    kinds = REFERENCES if "all" in references else references
    # Before anything runs: a board that is not known should cost no time.
    floors = bundle_floors(board, loaded) if board else []

    def options_of(name: str) -> dict[str, Any]:
        return backend_options(name, threads)

    with exit_on_signal(), tempfile.TemporaryDirectory(prefix="edgeseg-bench-") as folder:
        entries = [
            *reference_rows(
                kinds, loaded, checkpoint, threads, Path(folder), lambda told: say(told.message)
            ),
            *bundle_entries(loaded, chosen, options_of, native_float=native_float),
        ]
        options = BenchOptions(
            rounds=rounds,
            most_rounds=_most_rounds(rounds, most_rounds),
            repeat=repeat,
            boundary=bf,
            show=3 if html else 0,
        )
        turns = len(options.turns(len(dataset)))
        with progress_bar("bench", turns) as bar:
            result = bench(
                entries,
                dataset,
                options,
                threads=threads or None,
                progress=lambda done: bar.update(done, max(done, turns)),
            )
    document = {**result.to_json(), "floors": [floor.to_json() for floor in floors]}
    for doubt in result.conditions["doubts"]:
        say(f"doubtful: {doubt}")
    # Printed before anything is written, which a full disk may end; written even so where a reader
    # such as `head` closes the pipe, for what was measured took minutes.
    try:
        if as_json:
            print_json(document)
        else:
            title = f"{dataset.name}, rows in turn, reference: {result.reference}"
            print_table(*bench_table.used(result), title=title)
            for note in bench_table.notes(result):
                answer(note)
            if result.ratios:
                print_table(bench_table.RATIO_COLUMNS, bench_table.ratios(result))
            if floors:
                title = f"floor on {board}: computed from the data sheet's peaks, not measured"
                print_table(bench_floor.COLUMNS, bench_floor.rows(floors), title=title)
    finally:
        command_line = " ".join(["edgeseg", *public_words(sys.argv[1:])])
        if out is not None:
            atomic_write_text(out, json.dumps(document, indent=1) + "\n")
        if csv_path is not None:
            atomic_write_text(csv_path, bench_table.figures_csv(result))
        if markdown is not None:
            atomic_write_text(markdown, bench_table.markdown(result, command_line))
        if export_times is not None:
            atomic_write_text(export_times, bench_table.single_times_csv(result))
        if html is not None:
            from edgeseg.cli.bench.page import write_bench_page

            write_bench_page(html, result, dataset, command_line, floors=floors)
            say(f"page: {html}")


def _most_rounds(rounds: int, given: int | None) -> int:
    """Return --most-rounds; who asks for a number of rounds gets that number."""
    if given is not None:
        return given
    source = click.get_current_context().get_parameter_source("rounds")
    return MOST_ROUNDS if source is click.core.ParameterSource.DEFAULT else rounds
