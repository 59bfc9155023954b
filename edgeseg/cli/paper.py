"""`edgeseg paper`: the SegNet paper's tables beside ours."""

from __future__ import annotations

from typing import Any

import click

from edgeseg.cli.common.help_page import Verb
from edgeseg.cli.common.options import job_options, json_option, needs
from edgeseg.cli.common.output import print_json, print_table, ratio, shown
from edgeseg.core.metrics import symbols
from edgeseg.host.paper.options import PaperOptions
from edgeseg.host.paper.published import (
    REFERENCE,
    SCORES,
    TABLE_2_CLASSES,
    TABLE_2_METHODS,
    TABLES,
)

Row = dict[str, Any]
Column = tuple[str, str, str, str]
PAPERS = "  the paper's"
# Title, our key, the paper's key, and how it is written; M divides by a million first.
WEIGHT = (
    ("params", "params", "params", ".3fM"),
    ("model", "model_bytes", "model_bytes", ".1fM"),
    ("storage", "storage", "storage", ".3g"),
    ("kept", "storage_bytes", "", ".1fM"),
)
WORK = (
    ("time", "infer_ratio", "infer_ratio", ".2f"),
    ("fwd", "forward_ms", "infer_ms", ".0f"),
    ("bwd", "backward_ms", "backward_ms", ".0f"),
    ("train", "training_bytes", "training_bytes", ".0fM"),
    ("infer", "inference_bytes", "inference_bytes", ".0fM"),
)


@click.command(name="paper", cls=Verb, epilog="Example: edgeseg paper table6 --data synthetic:8")
@job_options(PaperOptions, out="runs/paper/TABLE")
@json_option
@needs("torch", "safetensors", "cv2")
def command(options: PaperOptions, as_json: bool) -> None:
    """Print TABLE of the SegNet paper with our figures beside the printed ones.

    table1 (decoder variants), table2 (SegNet's classes beside other methods), table3 (other
    networks) and table4 (the same on SUN RGB-D) train every network, table1 with and without median
    frequency balancing; a killed command goes on where it stopped when given again. The row with a
    dense CRF takes the network of the row without, and costs as much beside its CRF. table6
    measures cost alone. Costs are always of the row's own network, whatever --checkpoint gives.
    Times are this machine's, of torch, batch 1, one forward and one backward pass: compare the
    ratios. Memory is that of live tensors, counted, not of an allocator: train is a step of batch
    4, infer one frame. Storage is what the decoder needs of the encoder: the paper's multiplier, of
    the first level alone; kept, the bytes of all levels.

    The networks are the paper's, the training is not: AdamW with a cosine instead of SGD, scaled,
    flipped and recoloured crops, and the last epoch's averaged weights instead of the best epoch.
    """
    from edgeseg.host.paper.side_by_side import paper_job

    with shown() as progress:
        document = paper_job(options, progress)
    if as_json:
        print_json(document)
        return
    table, rows = options.table, document["rows"]
    reference = next(row for row in TABLES[table] if row.arch == REFERENCE[table])
    _print_cost(rows, WEIGHT, f"{table}: params in M, model and kept in MB")
    _print_cost(
        rows,
        WORK,
        f"{table}: time over {reference.title}'s; fwd, bwd in ms; train, infer in MB",
    )
    for weighting in ("balanced", "natural"):
        _print_scores(rows, weighting)
    if table == "table2":
        _print_methods(rows)


def _print_cost(rows: list[Row], columns: tuple[Column, ...], title: str) -> None:
    lines = []
    for row in rows:
        lines.append((row["name"], *(_shown(row["ours"], ours, f) for _, ours, _, f in columns)))
        papers = [_shown(row["paper"], paper, f) for _, _, paper, f in columns]
        if any(papers):
            lines.append((PAPERS, *papers))
    print_table(("network", *(name for name, _, _, _ in columns)), lines, title=title)


def _print_scores(rows: list[Row], weighting: str) -> None:
    scored = [row for row in rows if weighting in row["ours"]]
    if not scored:
        return
    print_table(
        ("network", *symbols(SCORES)),
        [
            cells
            for row in scored
            for cells in (
                (row["name"], *(ratio(row["ours"][weighting][key]) for key in SCORES)),
                (PAPERS, *(ratio(row["paper"][weighting][key]) for key in SCORES)),
            )
        ],
        title=f"{weighting}: {_origins(scored, weighting)}",
    )


def _print_methods(rows: list[Row]) -> None:
    """Print each class's accuracy of the published methods, and of ours below."""
    lines = [
        (method.title, *method.per_class, method.class_accuracy, method.global_accuracy)
        for method in TABLE_2_METHODS
    ]
    for row in rows:
        run = row["ours"].get("natural", {})
        found = run.get("per_class_accuracy", {})
        each = [found.get(name) for name in TABLE_2_CLASSES]
        ours = (run.get("class_accuracy"), run.get("global_accuracy"))
        lines.append((f"{row['name']} (ours)", *each, *ours))
    columns = (*TABLE_2_CLASSES, "C", "G")
    # Two tables: a terminal of 80 columns has no room for 13 figures.
    for start, end in ((0, 7), (7, len(columns))):
        print_table(
            ("method", *columns[start:end]),
            [
                (title, *(None if v is None else f"{100 * v:.1f}" for v in figures[start:end]))
                for title, *figures in lines
            ],
            title="table2: accuracy of each class, in %",
        )


def _origins(rows: list[Row], weighting: str) -> str:
    """Tell where the rows' weights are from, by name only where they differ in that."""
    names: dict[str, list[str]] = {}
    for row in rows:
        run = row["ours"][weighting]
        how = run["checkpoint"] or f"trained on {run['images']} images, epochs {run['epochs']}"
        if run.get("crf_ms") is not None:
            how += f", then a dense CRF of {run['crf_ms']:.0f} ms a frame"
        names.setdefault(how, []).append(row["name"])
    scored = f"scored on {rows[0]['ours'][weighting]['data']}"
    if len(names) == 1:
        return f"{next(iter(names))}, {scored}"
    return "; ".join([scored, *(f"{', '.join(of)}: {how}" for how, of in names.items())])


def _shown(values: Row, key: str, form: str) -> str | None:
    value = values.get(key)
    if value is None:
        return None
    return f"{value / 1e6 if form.endswith('M') else value:{form.removesuffix('M')}}"
