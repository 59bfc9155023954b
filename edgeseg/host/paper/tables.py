"""Trains and scores the networks of the SegNet paper's tables, and measures their costs."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeseg.core.crf.labels import refined_labels
from edgeseg.core.crf.options import CrfOptions
from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.views import with_ignored
from edgeseg.core.files import atomic_write_text
from edgeseg.core.metrics.boundary_f1 import BoundaryF1
from edgeseg.core.run_key import FINGERPRINT, changes, data_fact, is_same, run_key
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint, module_from_checkpoint
from edgeseg.host.cost import spec_cost
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.paper.footprint import count_memory, decoder_storage
from edgeseg.host.paper.published import REFERENCE, SCORES, PublishedRow
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.training.train import LAST, STATE, TrainListener, train
from edgeseg.host.training.validate import score_module

RESULT, PLAN = "scores.json", "plan.json"
# Exponent of the median frequency balancing: the paper's, and none.
WEIGHTINGS = {"balanced": 1.0, "natural": 0.0}


@dataclasses.dataclass(frozen=True)
class Job:
    """One network to be trained and scored for a table.

    Attributes:
        arch: the architecture.
        weighting: "balanced" or "natural".
        row: the row's name where it is not the architecture's.
        crf: the dense CRF after the network, None without one.
    """

    arch: str
    weighting: str
    row: str = ""
    crf: CrfOptions | None = None

    @property
    def key(self) -> str:
        """The row's name."""
        return self.row or self.arch

    @property
    def name(self) -> str:
        """Name of its folder, and of its checkpoint on the command line."""
        return f"{self.key}-{self.weighting}"

    @property
    def network(self) -> str:
        """Name of the folder that its network is trained in: another row's where a CRF follows."""
        return f"{self.arch}-{self.weighting}" if self.crf else self.name


@dataclasses.dataclass(frozen=True)
class TableData:
    """What the networks of a table are trained and scored on, hashed once for all of them.

    Attributes:
        training: training set.
        scored: labelled frames for G, C, mIoU and BF.
        training_fact: what a run key keeps of the training set.
        scored_fact: likewise for the frames.
    """

    training: Dataset
    scored: Dataset
    training_fact: Mapping[str, Any]
    scored_fact: Mapping[str, Any]

    @classmethod
    def of(cls, training: Dataset, scored: Dataset) -> TableData:
        """Hash the two."""
        return cls(training, scored, data_fact(training), data_fact(scored))


def jobs_of(rows: Sequence[PublishedRow]) -> list[Job]:
    """Return the trainings that the rows' printed scores ask for."""
    return [
        Job(row.arch, weighting, row.key, CrfOptions() if row.crf else None)
        for row in rows
        for weighting in WEIGHTINGS
        if getattr(row, weighting) is not None
    ]


def spec_for(
    arch: str, data: Dataset, size_hw: tuple[int, int], options: Mapping[str, Any]
) -> ModelSpec:
    """Return the spec of a table's network for a data set.

    Raises:
        SpecError: the architecture refuses an option.
    """
    given = dict(options)
    stride = given.pop("output_stride", MODELS.load(arch).stride)
    spec = ModelSpec(
        arch,
        class_names=data.class_names,
        palette=data.palette,
        ignore_index=data.ignore_index,
        size_hw=size_hw,
        output_stride=stride,
        options=given,
    )
    # Built once without memory: a wrong option must not show after other networks have trained.
    with torch.device("meta"):
        build_model(spec)
    return spec


def given_checkpoint(path: Path, spec: ModelSpec) -> Checkpoint:
    """Read a checkpoint that is scored in place of training the network of `spec`.

    Raises:
        CheckpointError: the file is missing or damaged, or of another architecture or classes.
    """
    given = load_checkpoint(path)
    if given.spec.arch != spec.arch or given.spec.class_names != spec.class_names:
        raise CheckpointError(
            f"{path} is a {given.spec.arch} of {given.spec.n_classes} classes, expected "
            f"{spec.arch} of {spec.n_classes}"
        )
    return given


def own_way(given: Checkpoint, spec: ModelSpec) -> str:
    """Tell in what a given checkpoint's network is not the one that a row's costs are of."""
    differs = [
        f"{key} {dict(given.spec.options).get(key, 'as usual')}"
        for key in sorted({*given.spec.options, *spec.options})
        if dict(given.spec.options).get(key) != dict(spec.options).get(key)
    ]
    if given.spec.output_stride != spec.output_stride:
        differs.append(f"output stride {given.spec.output_stride}")
    kinds = {step.kind for step in given.steps}
    differs += [
        word for kind, word in (("prune", "pruned"), ("quantize", "quantized")) if kind in kinds
    ]
    return ", ".join(differs)


def run_job(
    job: Job,
    spec: ModelSpec,
    data: TableData,
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
        data: what to train and to score it on.
        options: how to train; the class weights are the job's.
        folder: of the run; an interrupted one goes on where it stopped. A network that another row
            has is trained in that row's folder beside it.
        checkpoint: a trained network to score instead of training one.
        listener: told of the training's progress.
        progress: told the number of images scored.

    Returns:
        Scores by name, with the epochs trained and the data they were measured on.

    Raises:
        CheckpointError: the checkpoint is of another architecture or other classes, or the folder
            holds a run with other options.
    """
    trained = folder.with_name(job.network) if job.crf else folder
    if not checkpoint:
        options = dataclasses.replace(options, class_weight_exponent=WEIGHTINGS[job.weighting])
        _check_plan(trained, spec, data, options)
    told = run_key(
        epochs=options.epochs,
        images=len(data.training),
        data=data.scored_fact["name"],
        data_fingerprint=data.scored_fact[FINGERPRINT],
        size_hw=spec.size_hw,
        checkpoint=str(checkpoint) if checkpoint else None,
        checkpoint_sha256=checkpoint,
        crf=job.crf.to_json() if job.crf else None,
    )
    result = folder / RESULT
    if result.is_file():
        done: dict[str, Any] = json.loads(result.read_text())
        if is_same(done, told):
            return done
    if checkpoint:
        given = given_checkpoint(checkpoint, spec)
        spec, module = given.spec, module_from_checkpoint(given)
    else:
        torch.manual_seed(options.seed)
        module = train(
            spec, build_model(spec), data.training, options, trained, resume=True, listener=listener
        ).module
    outlines = BoundaryF1(spec.n_classes, spec.ignore_index)
    # A checkpoint of other data may have another label for void.
    scored = with_ignored(data.scored, spec.ignore_index)
    refine = _TimedCrf(job.crf) if job.crf else None
    scores = score_module(spec, module, scored, outlines=outlines, refine=refine, progress=progress)
    figures = (scores.global_accuracy, scores.class_accuracy, scores.miou, outlines.score())
    document: dict[str, Any] = {
        **{
            key: None if math.isnan(value) else value
            for key, value in zip(SCORES, figures, strict=True)
        },
        "per_class_accuracy": {
            name: None if math.isnan(value) else value
            for name, value in zip(spec.class_names, scores.per_class_accuracy, strict=True)
        },
        **told,
        "crf_ms": refine.mean_ms if refine else None,
    }
    atomic_write_text(result, json.dumps(document, indent=1) + "\n")
    return document


class _TimedCrf:
    """The dense CRF as `score_module` calls it, with the time it takes."""

    def __init__(self, options: CrfOptions) -> None:
        self._options = options
        self._seconds: list[float] = []

    def __call__(self, logits: np.ndarray, frame: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        labels = refined_labels(logits, frame, self._options)
        self._seconds.append(time.perf_counter() - start)
        return labels

    @property
    def mean_ms(self) -> float:
        """Milliseconds a frame."""
        return 1e3 * statistics.fmean(self._seconds)


def _check_plan(folder: Path, spec: ModelSpec, data: TableData, options: TrainOptions) -> None:
    """Write how a folder's network is trained; refuse a folder that holds one trained otherwise.

    A plan binds once something was made by it: a command that could not start must not lock the
    folder against its correction. An option that an older edgeseg did not write had the value that
    is the default now; other facts that it did not write are not compared.
    """
    plan = run_key(**_plan(spec, options), data=data.training_fact, images=len(data.training))
    if (folder / PLAN).is_file() and _is_trained(folder):
        written = json.loads((folder / PLAN).read_text())
        changed = changes({**_plan(ModelSpec(spec.arch), TrainOptions()), **written}, plan)
        if changed:
            raise CheckpointError(
                f"{folder} holds a run with {'; '.join(changed)}; give the same options again to "
                "go on with it, or another -o"
            )
    atomic_write_text(folder / PLAN, json.dumps(plan, indent=1) + "\n")


def _plan(spec: ModelSpec, options: TrainOptions) -> dict[str, Any]:
    """Return what decides a training besides its images, as a file gives it back."""
    return run_key(**spec.to_json(), **options.deciding())


def _is_trained(folder: Path) -> bool:
    """Tell whether a training has left something; scores of a given checkpoint are none."""
    if (folder / STATE).is_file() or (folder / LAST).is_file():
        return True
    result = folder / RESULT
    return result.is_file() and not json.loads(result.read_text()).get("checkpoint")


def cost_columns(
    table: str,
    specs: Mapping[str, ModelSpec],
    times: Mapping[str, Mapping[str, float]],
) -> dict[str, dict[str, Any]]:
    """Return, for each row, what it costs here and as ratios to the table's reference.

    Args:
        table: a name of TABLES.
        specs: the networks by row.
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
