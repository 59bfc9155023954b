"""Comparison with the SegNet paper: the job of `edgeseg paper`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.data.census import check_data
from edgeseg.core.data.open import open_dataset
from edgeseg.core.files.lock import hold, one_writer
from edgeseg.core.progress import Progress, ProgressCallback, silent, tell
from edgeseg.errors import UsageError
from edgeseg.host.paper.footprint import time_passes
from edgeseg.host.paper.options import PaperOptions
from edgeseg.host.paper.published import REFERENCE, TABLES, PublishedRow
from edgeseg.host.paper.tables import (
    Job,
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
from edgeseg.host.training.train import ProgressListener


@one_writer
def paper_job(options: PaperOptions, progress: ProgressCallback = silent) -> dict[str, Any]:
    """Train, score and time the networks of one of the paper's tables.

    Args:
        options: by the names of the verb's options.
        progress: told of trainings, scores and timings.

    Returns:
        JSON values: table, data, size_hw, epochs, and `rows`, each with the name, our figures
        ("ours") and the printed ones ("paper").

    Raises:
        UsageError: the table has no such row.
        SpecError: an architecture refuses an option.
        CheckpointError: a checkpoint is of another architecture or other classes.
        DataError: the data cannot be read.
    """
    published = TABLES[options.table]
    rows = _chosen(published, options.archs)
    read = dataclasses.replace(options.read_options(), hold_back=options.split != "test")
    training = open_dataset(
        options.data, "train", size_hw=options.size, seed=options.seed, options=read
    )
    networks = {row.network: (row.arch, dict(row.options)) for row in rows}
    networks.setdefault(REFERENCE[options.table], (REFERENCE[options.table], {}))
    specs = {
        name: spec_for(arch, training, options.size, {**own, **options.settings})
        for name, (arch, own) in networks.items()
    }
    network = {row.key: row.network for row in rows}
    jobs = jobs_of(rows)
    files = _files(options.checkpoints, jobs)
    for job in jobs:
        if job.name in files:
            # Hours of training come before some of them are scored.
            given = given_checkpoint(files[job.name], specs[network[job.key]])
            if differs := own_way(given, specs[network[job.key]]):
                tell(
                    progress,
                    f"{job.name}: the scores are of {files[job.name]} ({differs}), the costs of "
                    "the row's own network, in float",
                )
    folder = options.out or Path("runs") / "paper" / options.table
    if jobs:
        hold(folder)
    scores: dict[str, dict[str, Any]] = {row.key: {} for row in rows}
    if jobs:
        scored = open_dataset(
            options.data,
            options.split,
            size_hw=options.size,
            seed=options.seed,
            limit=options.limit,
            options=read,
        )
        check_data(training, scored, allow_empty=options.allow_empty, progress=progress)
        images = TableData.of(training, scored)
        for number, job in enumerate(jobs, start=1):
            tell(progress, f"{number}/{len(jobs)} {job.name}")
            scores[job.key][job.weighting] = run_job(
                job,
                specs[network[job.key]],
                images,
                _train_options(options),
                folder / job.name,
                checkpoint=files.get(job.name) or files.get(job.network),
                listener=ProgressListener(progress, job.name, options.epochs),
                progress=_scoring(progress, job.name, len(scored)),
            )
    total = len(specs) * (options.rounds + 1)
    times = time_passes(
        specs,
        rounds=options.rounds,
        device=options.device,
        progress=lambda done: progress(Progress("time", done, total)),
    )
    columns = cost_columns(options.table, specs, times)
    reference = next(row for row in published if row.arch == REFERENCE[options.table])
    return {
        "table": options.table,
        "data": training.name,
        "size_hw": list(options.size),
        "epochs": options.epochs if jobs else None,
        "rows": [
            {
                "name": row.title,
                "arch": row.arch,
                "row": row.key,
                "ours": {**columns[row.network], **scores[row.key]},
                "paper": {**row.to_json(), "infer_ratio": _over(row.infer_ms, reference.infer_ms)},
            }
            for row in rows
        ],
    }


def _train_options(options: PaperOptions) -> TrainOptions:
    return TrainOptions(
        epochs=options.epochs,
        batch=options.batch,
        lr=options.lr,
        warmup_epochs=min(2.0, options.epochs / 10),
        augment=Augment(crop_hw=options.crop or options.size, photometry="mild"),
        validate_every=options.epochs,
        seed=options.seed,
        device=options.device,
    )


def _scoring(progress: ProgressCallback, stage: str, total: int) -> Any:
    return lambda done: progress(Progress(stage, done, total, "scored"))


def _chosen(rows: Sequence[PublishedRow], archs: Sequence[str]) -> list[PublishedRow]:
    known = [row.key for row in rows]
    for arch in archs:
        if arch not in known:
            raise UsageError(f"the table has no {arch}; it has {', '.join(known)}")
    return [row for row in rows if not archs or row.key in archs]


def _files(texts: Sequence[str], jobs: Sequence[Job]) -> dict[str, Path]:
    known = [job.name for job in jobs]
    files = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or name not in known:
            raise UsageError(f"{text!r} is not NAME=FILE with NAME one of {', '.join(known)}")
        files[name] = Path(path)
    return files


def _over(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value / reference
