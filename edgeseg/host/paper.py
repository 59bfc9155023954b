"""Our side of the SegNet paper's tables: train each network, score it, measure its cost."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from edgeseg.core.boundary import BoundaryF1
from edgeseg.core.dataset import Dataset
from edgeseg.core.files import atomic_write_text
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError
from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
from edgeseg.host.cost import spec_cost
from edgeseg.host.footprint import count_memory, decoder_storage
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.published import REFERENCE, SCORES, PublishedRow
from edgeseg.host.score import score_module
from edgeseg.host.train import TrainListener, train
from edgeseg.host.trainoptions import TrainOptions

RESULT, PLAN = "scores.json", "plan.json"
# Exponent of the median frequency balancing: the paper's, and none.
WEIGHTINGS = {"balanced": 1.0, "natural": 0.0}


@dataclasses.dataclass(frozen=True)
class Job:
    """One network to be trained and scored for a table.

    Attributes:
        arch: the architecture.
        weighting: "balanced" or "natural".
    """

    arch: str
    weighting: str

    @property
    def name(self) -> str:
        """Name of its folder, and of its checkpoint on the command line."""
        return f"{self.arch}-{self.weighting}"


def jobs_of(rows: Sequence[PublishedRow]) -> list[Job]:
    """Return the trainings that the rows' printed scores ask for."""
    return [
        Job(row.arch, weighting)
        for row in rows
        for weighting in WEIGHTINGS
        if getattr(row, weighting) is not None
    ]


def spec_for(arch: str, data: Dataset, size_hw: tuple[int, int], **options: Any) -> ModelSpec:
    """Return the spec of a table's network for a data set."""
    return ModelSpec(
        arch,
        class_names=data.class_names,
        palette=data.palette,
        ignore_index=data.ignore_index,
        size_hw=size_hw,
        output_stride=MODELS[arch].stride,
        options=options,
    )


def run_job(
    job: Job,
    spec: ModelSpec,
    data: Dataset,
    scored_on: Dataset,
    options: TrainOptions,
    folder: Path,
    *,
    checkpoint: Path | None = None,
    listener: TrainListener | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """Train one network, or take a checkpoint, and score it; a finished job is read, not redone.

    Args:
        job: what to train.
        spec: of the network.
        data: training set.
        scored_on: labelled frames for G, C, mIoU and BF.
        options: how to train; the class weights are the job's.
        folder: of the run; an interrupted one goes on where it stopped.
        checkpoint: a trained network to score instead of training one.
        listener: told of the training's progress.
        progress: told the number of images scored.

    Returns:
        Scores by name, with the epochs trained and the data they were measured on.

    Raises:
        CheckpointError: the checkpoint is of another architecture or other classes, or the folder
            holds a run with other options.
    """
    if not checkpoint:
        options = dataclasses.replace(options, class_weight_exponent=WEIGHTINGS[job.weighting])
        _check_plan(folder, spec, data, options)
    told = {
        "epochs": options.epochs,
        "images": len(data),
        "data": scored_on.name,
        "checkpoint": str(checkpoint) if checkpoint else None,
    }
    result = folder / RESULT
    if result.is_file():
        done: dict[str, Any] = json.loads(result.read_text())
        if all(done.get(key) == value for key, value in told.items()):
            return done
    if checkpoint:
        given = load_checkpoint(checkpoint)
        if given.spec.arch != job.arch or given.spec.class_names != spec.class_names:
            raise CheckpointError(
                f"{checkpoint} is a {given.spec.arch} of {given.spec.n_classes} classes, expected "
                f"{job.arch} of {spec.n_classes}"
            )
        spec, module = given.spec, module_from_checkpoint(given)
    else:
        torch.manual_seed(options.seed)
        module = train(
            spec, build_model(spec), data, options, folder, resume=True, listener=listener
        ).module
    outlines = BoundaryF1(spec.n_classes, spec.ignore_index)
    scores = score_module(spec, module, scored_on, outlines=outlines, progress=progress)
    figures = (scores.global_accuracy, scores.class_accuracy, scores.miou, outlines.score())
    document: dict[str, Any] = {
        **{
            key: None if math.isnan(value) else value
            for key, value in zip(SCORES, figures, strict=True)
        },
        **told,
    }
    atomic_write_text(result, json.dumps(document, indent=1) + "\n")
    return document


def _check_plan(folder: Path, spec: ModelSpec, data: Dataset, options: TrainOptions) -> None:
    """Note how a folder's network is trained, or hold that it is the same as before."""
    plan: dict[str, Any] = {
        **spec.to_json(),
        **dataclasses.asdict(options),
        **dataclasses.asdict(options.augment),
        "data": data.name,
        "images": len(data),
    }
    for key in ("augment", "device"):
        del plan[key]
    text = json.dumps(plan, indent=1) + "\n"
    if not (folder / PLAN).is_file():
        atomic_write_text(folder / PLAN, text)
        return
    before = json.loads((folder / PLAN).read_text())
    now = json.loads(text)
    changed = [
        f"{key} {before.get(key)}, now {now[key]}" for key in now if before.get(key) != now[key]
    ]
    if changed:
        raise CheckpointError(
            f"{folder} holds a run with {'; '.join(changed)}; give the same options again to go on "
            "with it, or another -o"
        )


def cost_columns(
    table: str,
    specs: Mapping[str, ModelSpec],
    times: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, Any]]:
    """Return, for each architecture, what it costs here and as ratios to the table's reference.

    Args:
        table: "table1", "table3" or "table6".
        specs: the networks by architecture.
        times: what time_passes gave for them, the reference included.
    """
    storage = {arch: decoder_storage(spec) for arch, spec in specs.items()}
    # The paper's unit is SegNet-Basic's indices, whichever networks are asked for.
    any_spec = next(iter(specs.values()))
    unit = decoder_storage(
        specs.get("segnet-basic")
        or dataclasses.replace(any_spec, arch="segnet-basic", output_stride=16, options={})
    )
    columns = {}
    for arch, spec in specs.items():
        memory = count_memory(spec)
        columns[arch] = {
            "params": spec_cost(spec).params,
            "storage_bytes": storage[arch].bytes,
            "storage": storage[arch].first_bits / unit.first_bits,
            **times[arch],
            "infer_ratio": times[arch]["forward_ms"] / times[REFERENCE[table]]["forward_ms"],
            "training_bytes": memory.training,
            "inference_bytes": memory.inference,
            "model_bytes": memory.model,
        }
    return columns
