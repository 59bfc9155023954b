"""`edgeseg paper`: the SegNet paper's tables beside ours."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import Any

import click

from edgeseg.cli.common.options import PATH, SEED, SIZE, data_option, json_option, needs
from edgeseg.cli.common.output import print_json, print_table, progress_bar, ratio, say
from edgeseg.cli.common.train_options import BarListener
from edgeseg.core.options import parse_settings
from edgeseg.errors import UsageError

Row = dict[str, Any]
Column = tuple[str, str, str, str]
PAPERS = "  the paper's"
SCORES = ("global_accuracy", "class_accuracy", "miou", "bf")
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


@click.command(name="paper", epilog="Example: edgeseg paper table1 --data CamVid --epochs 1")
@click.argument("table", type=click.Choice(["table1", "table3", "table6"]))
@data_option(required=True)
@click.option(
    "--split",
    type=click.Choice(["val", "test"]),
    default="val",
    show_default=True,
    help="What is scored; the paper's figures are of test.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Score this many images, spread evenly.")
@click.option("--epochs", type=click.IntRange(min=1), default=200, show_default=True)
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True)
@click.option("--lr", type=float, default=2e-3, show_default=True, help="Peak learning rate.")
@click.option("--size", type=SIZE, default=(360, 480), show_default="360x480", help="Input size.")
@click.option("--crop", type=SIZE, help="Size of the training crops.  [default: --size]")
@click.option("--arch", "archs", multiple=True, help="Only this row; may be repeated.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="NAME=FILE",
    help="Score this checkpoint instead of training; NAME is such as segnet-basic-balanced.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of every architecture, such as channels=8; may be repeated.",
)
@click.option(
    "--rounds", type=click.IntRange(min=1), default=5, show_default=True, help="Timed passes."
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option("-o", "--out", type=PATH, help="Folder of the runs.  [default: runs/paper/TABLE]")
@json_option
@needs("torch", "safetensors", "cv2")
def command(
    table: str,
    data: str,
    split: str,
    limit: int | None,
    epochs: int,
    batch: int,
    lr: float,
    size: tuple[int, int],
    crop: tuple[int, int] | None,
    archs: tuple[str, ...],
    checkpoints: tuple[str, ...],
    settings: tuple[str, ...],
    rounds: int,
    seed: int,
    device: str,
    out: Path | None,
    as_json: bool,
) -> None:
    """Print TABLE of the SegNet paper with our figures beside the printed ones.

    table1 (decoder variants) and table3 (other networks) train every network, table1 with and
    without median frequency balancing; a killed command goes on where it stopped when given again.
    table6 measures cost alone. Costs are always of the row's own network, whatever --checkpoint
    gives. Times are this machine's, of torch, batch 1, one forward and one backward pass: compare
    the ratios. Memory is that of live tensors, counted, not of an allocator:
    train is a step of batch 4, infer one frame. Storage is what the decoder needs of the encoder:
    the paper's multiplier, of the first level alone; kept, the bytes of all levels.

    The networks are the paper's, the training is not: AdamW with a cosine instead of SGD, scaled,
    flipped and recoloured crops, and the last epoch's averaged weights instead of the best epoch.
    """
    from edgeseg.core.data.open import open_dataset
    from edgeseg.host.paper.footprint import time_passes
    from edgeseg.host.paper.published import REFERENCE, TABLES
    from edgeseg.host.paper.tables import (
        TableData,
        cost_columns,
        given_checkpoint,
        jobs_of,
        own_way,
        run_job,
        spec_for,
    )
    from edgeseg.host.training.augment import Augment
    from edgeseg.host.training.options import TrainOptions

    rows = _chosen(TABLES[table], archs)
    training = open_dataset(data, "train", size_hw=size, seed=seed)
    options = parse_settings(settings)
    named = [row.arch for row in rows]
    specs = {
        arch: spec_for(arch, training, size, options)
        for arch in dict.fromkeys([*named, REFERENCE[table]])
    }
    jobs = jobs_of(rows)
    files = _files(checkpoints, [job.name for job in jobs])
    for job in jobs:
        if job.name in files:
            # Hours of training come before some of them are scored.
            given = given_checkpoint(files[job.name], specs[job.arch])
            if differs := own_way(given, specs[job.arch]):
                say(f"{job.name}: the scores are of {files[job.name]} ({differs}), the costs of "
                    "the row's own network, in float")  # fmt: skip
    folder = out or Path("runs") / "paper" / table
    train_options = TrainOptions(
        epochs=epochs,
        batch=batch,
        lr=lr,
        warmup_epochs=min(2.0, epochs / 10),
        augment=Augment(crop_hw=crop or size, photometry="mild"),
        validate_every=epochs,
        seed=seed,
        device=device,
    )
    scores: dict[str, dict[str, Any]] = {row.arch: {} for row in rows}
    if jobs:
        scored = open_dataset(data, split, size_hw=size, seed=seed, limit=limit)
        images = TableData.of(training, scored)
        for number, job in enumerate(jobs, start=1):
            say(f"{number}/{len(jobs)} {job.name}")
            with progress_bar(job.name) as bar:
                scores[job.arch][job.weighting] = run_job(
                    job,
                    specs[job.arch],
                    images,
                    train_options,
                    folder / job.name,
                    checkpoint=files.get(job.name),
                    listener=BarListener(bar, epochs, lines=not sys.stderr.isatty()),
                    progress=partial(bar.update, total=len(scored), note="scored"),
                )
    with progress_bar("time", len(specs) * (rounds + 1)) as bar:
        times = time_passes(specs, rounds=rounds, device=device, progress=bar.update)
    columns = cost_columns(table, specs, times)
    reference = next(row for row in TABLES[table] if row.arch == REFERENCE[table])
    side_by_side: list[Row] = [
        {
            "name": row.title,
            "arch": row.arch,
            "ours": {**columns[row.arch], **scores[row.arch]},
            "paper": {**row.to_json(), "infer_ratio": _over(row.infer_ms, reference.infer_ms)},
        }
        for row in rows
    ]
    document = {
        "table": table,
        "data": training.name,
        "size_hw": list(size),
        "epochs": epochs if jobs else None,
        "rows": side_by_side,
    }
    if as_json:
        print_json(document)
        return
    _print_cost(side_by_side, WEIGHT, f"{table}: params in M, model and kept in MB")
    _print_cost(
        side_by_side,
        WORK,
        f"{table}: time over {reference.title}'s; fwd, bwd in ms; train, infer in MB",
    )
    for weighting in ("balanced", "natural"):
        _print_scores(side_by_side, weighting)


def _chosen(rows: tuple[Any, ...], archs: tuple[str, ...]) -> list[Any]:
    known = [row.arch for row in rows]
    for arch in archs:
        if arch not in known:
            raise UsageError(f"the table has no {arch}; it has {', '.join(known)}")
    return [row for row in rows if not archs or row.arch in archs]


def _files(texts: tuple[str, ...], known: list[str]) -> dict[str, Path]:
    files = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or name not in known:
            raise UsageError(f"{text!r} is not NAME=FILE with NAME one of {', '.join(known)}")
        files[name] = Path(path)
    return files


def _over(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value / reference


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
        ("network", "G", "C", "mIoU", "BF"),
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


def _origins(rows: list[Row], weighting: str) -> str:
    """Tell where the rows' weights are from, by name only where they differ in that."""
    names: dict[str, list[str]] = {}
    for row in rows:
        run = row["ours"][weighting]
        how = run["checkpoint"] or f"trained on {run['images']} images, epochs {run['epochs']}"
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
