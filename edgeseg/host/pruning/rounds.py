"""Pruning in rounds: narrow a little, train the rest to recover, narrow again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.sampling import spread_indices
from edgeseg.core.data.views import Fitted
from edgeseg.core.recipe import StepDone, order_problems
from edgeseg.core.run_key import changes, data_fact, run_key
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError, RecipeError, UsageError
from edgeseg.host.checkpoint import (
    Checkpoint,
    load_checkpoint,
    module_from_checkpoint,
    save_checkpoint,
)
from edgeseg.host.cost import Cost, count_cost
from edgeseg.host.models.label_net import Normalize
from edgeseg.host.pruning.cut import widths_of, widths_table
from edgeseg.host.pruning.options import NEED_DATA, PruneOptions
from edgeseg.host.pruning.prune import absolute, prune, unit_widths
from edgeseg.host.pruning.sparsity import PATTERN, is_sparse, sparsify
from edgeseg.host.training.crops import Batch
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.training.train import BEST, LAST, TrainListener, TrainResult, train

PRUNED, TABLE = "pruned.safetensors", "widths.txt"
# In a step's metadata: the images that decided its widths.
LOOKED_AT = "looked_at"


@dataclasses.dataclass(frozen=True)
class PrunePlan:
    """What is done to one network.

    Attributes:
        options: what to prune in all.
        rounds: into how many steps to divide it.
        sparsity: "2:4" zeroes weights after the last of them, "" does not.
        images: labelled frames for an importance that looks at the loss, and for the repair.
        train: how to train after each round; None leaves the weights as they are.
        distill: whether the network before any pruning teaches.
        result: "best" or "last", the checkpoint of a round's training that the next one, or the
            caller, goes on from.
    """

    options: PruneOptions
    rounds: int = 1
    sparsity: str = ""
    images: int = 64
    train: TrainOptions | None = None
    distill: bool = False
    result: str = "best"

    def __post_init__(self) -> None:
        """Refuse what would do nothing."""
        if self.sparsity not in ("", PATTERN):
            raise UsageError(f"sparsity {self.sparsity!r} is unknown; there is {PATTERN}")
        if not self.options.asks_for_anything and not self.sparsity:
            raise UsageError("prune: nothing to do; give a ratio, a target or a sparsity")


@dataclasses.dataclass(frozen=True)
class PruneResult:
    """What pruning ended with.

    Attributes:
        checkpoint: the network, with its best weights where it was trained.
        file: where that is, within the run's folder.
        before: cost of the network given.
        after: cost of the network got.
        table: widths before and after, as text.
        trained: the result of each round's training.
    """

    checkpoint: Checkpoint
    file: str
    before: Cost
    after: Cost
    table: str
    trained: Sequence[TrainResult]


def check_prunable(steps: Sequence[StepDone], plan: PrunePlan) -> None:
    """Refuse a checkpoint whose steps forbid what is planned.

    Raises:
        RecipeError: it is quantized, or 2:4 sparse and would lose the pattern.
    """
    kinds = [step.kind for step in steps]
    problems = order_problems([*kinds, "prune"]) if kinds else []
    if is_sparse(steps) and plan.options.asks_for_anything:
        problems.append(
            "the network is 2:4 sparse: taking channels out shifts its groups of four. Prune the "
            "checkpoint from before, and ask for the sparsity in the same step"
        )
    if problems:
        raise RecipeError("; ".join(problems))


def prune_in_rounds(
    start: Checkpoint,
    plan: PrunePlan,
    folder: Path,
    data: Dataset | None = None,
    *,
    extra: Sequence[tuple[Dataset, float]] = (),
    validation: Dataset | None = None,
    resume: bool = False,
    progress: Callable[[int], None] = lambda done: None,
    listener: Callable[[int], TrainListener | None] = lambda number: None,
) -> PruneResult:
    """Prune a float checkpoint, with training after each round where the plan has some.

    Each round's target lies on the geometric line from the network's cost to the goal, so that
    every round takes the same share of what is there. A round's training goes into `folder`, or
    into `folder/round-N` where there are several. pruned.safetensors is the network before its
    last training.

    Args:
        start: a float network; best fine-tuned, since pruning reads its weights.
        plan: what to do.
        folder: where the results go.
        data: labelled images for training and for an importance that needs them.
        extra: further training data, as train() takes it.
        validation: what the trainings are scored on.
        resume: go on with an interrupted run of the same plan.
        progress: told how many batches an importance has seen.
        listener: gives the listener of a round's training, counted from 0.

    Raises:
        RecipeError: the checkpoint's steps forbid it.
        UsageError: a target is out of reach, data is missing, or the run to go on with was pruned
            otherwise.
    """
    check_prunable(start.steps, plan)
    if plan.train is not None and data is None:
        raise UsageError("prune: fine-tuning needs data; give --data or no epochs")
    dense = module_from_checkpoint(start)
    spec, before = start.spec, count_cost(dense, start.spec.size_hw)
    if resume and (folder / PRUNED).is_file():
        _check_same_plan(folder / PRUNED, start, plan, before, data)
    current, trained, module = start, [], dense
    for number, options in enumerate(_rounds(plan, before)):
        here = folder / f"round-{number + 1}" if plan.rounds > 1 else folder
        last = number + 1 == plan.rounds
        module = module_from_checkpoint(current)
        steps = list(current.steps)
        if options.asks_for_anything:
            record = _record(options, plan, data)
            frames = _Frames(data, spec, plan.images if looks_at_images(options) else 0)
            module, metadata = prune(
                module, spec.size_hw, options, frames, whole=unit_widths(dense),
                ignore_index=spec.ignore_index, progress=progress,
            )  # fmt: skip
            steps.append(StepDone("prune", record, {**metadata, **_looked_at(options, data)}))
        if last and plan.sparsity:
            module, metadata = sparsify(module)
            steps.append(StepDone("prune", {"sparsity": plan.sparsity}, metadata))
        current = Checkpoint(spec, tuple(steps), module.state_dict(), start.provenance)
        here.mkdir(parents=True, exist_ok=True)
        save_checkpoint(folder / PRUNED, current)
        if plan.train is not None and data is not None:
            trained.append(
                train(
                    spec, module, data, plan.train, here,
                    kind="finetune", steps_before=current.steps, extra=extra,
                    validation=validation, teacher=dense if plan.distill else None,
                    resume=resume, listener=listener(number),
                )
            )  # fmt: skip
            current = trained[-1].last if plan.result == "last" else trained[-1].best
    file = PRUNED
    if trained:
        file = BEST if trained[-1].best.scores and plan.result == "best" else LAST
        save_checkpoint(folder / file, current)
    return PruneResult(
        current,
        file,
        before,
        count_cost(module, spec.size_hw),
        widths_table(module, widths_of(dense)),
        trained,
    )


def _record(options: PruneOptions, plan: PrunePlan, data: Dataset | None) -> dict[str, Any]:
    """Return the options of a round as the checkpoint's step has them."""
    record = {**options.to_step(), **({"data": data.name} if data else {})}
    if looks_at_images(options):
        record["images"] = plan.images
    return record


def _looked_at(options: PruneOptions, data: Dataset | None) -> dict[str, Any]:
    """Return what tells the images that decided the widths from others of the same name."""
    if data is None or not looks_at_images(options):
        return {}
    return {LOOKED_AT: data_fact(data)}


def _check_same_plan(
    path: Path, start: Checkpoint, plan: PrunePlan, before: Cost, data: Dataset | None
) -> None:
    """Refuse to go on with a run that pruned another network, or otherwise, before it is touched.

    Raises:
        UsageError: it names what differs.
    """
    steps = load_checkpoint(path).steps
    known = [step.to_json() for step in start.steps]
    if [step.to_json() for step in steps[: len(known)]] != known:
        raise UsageError(f"{path} was made from another checkpoint; give that, or another -o")
    planned = [
        {**_record(o, plan, data), **_looked_at(o, data)}
        for o in _rounds(plan, before)
        if o.asks_for_anything
    ]
    if plan.sparsity:
        planned.append({"sparsity": plan.sparsity})
    done = [
        {**step.options, **{k: v for k, v in step.metadata.items() if k == LOOKED_AT}}
        for step in steps[len(known) :]
        if step.kind == "prune"
    ]
    for was, options in zip(done, planned, strict=False):
        # An older edgeseg wrote fewer of them.
        changed = changes(was, {**dict.fromkeys(was), **run_key(**options)})
        if changed:
            raise UsageError(
                f"{path} was pruned with {'; '.join(changed)}; give the same, or another -o"
            )
    # The last round takes its sparsity with it.
    if len(done) != len(planned) and len(done) >= plan.rounds:
        raise UsageError(f"{path} was pruned in {len(done)} steps; give the same, or another -o")


def _rounds(plan: PrunePlan, dense: Cost) -> Iterator[PruneOptions]:
    """Divide the whole into rounds that each take the same share of what is left.

    Ratios are shares of the dense network all the same: widths are rounded in every round, and
    small shares of what was rounded before would stick there or go too far.
    """
    options, rounds = plan.options, plan.rounds
    if rounds == 1:
        yield options
        return
    for number in range(1, rounds + 1):
        part = number / rounds
        yield dataclasses.replace(
            options,
            ratio=1 - (1 - options.ratio) ** part,
            target_macs=_on_the_way(options.target_macs, dense.macs, part),
            target_params=_on_the_way(options.target_params, dense.params, part),
            max_ratio=1 - (1 - options.max_ratio) ** part,
            layer_ratios={k: 1 - (1 - v) ** part for k, v in options.layer_ratios.items()},
        )


def _on_the_way(target: float, dense: int, part: float) -> float:
    if target == 0:
        return 0.0
    return round(dense * (absolute(target, dense) / dense) ** part)


def looks_at_images(options: PruneOptions) -> bool:
    """Tell whether pruning like this needs images."""
    return options.importance in NEED_DATA or options.repair


@dataclasses.dataclass(frozen=True)
class _Frames:
    """At most `images` labelled frames, spread over the data, one a batch; as often as asked."""

    data: Dataset | None
    spec: ModelSpec
    images: int

    def __iter__(self) -> Iterator[Batch]:
        """Read, normalize and yield them."""
        data = self.data
        if data is None:
            return
        normalize = Normalize(self.spec.preprocess)
        fitted = Fitted(data, self.spec)
        for index in spread_indices(len(data), self.images):
            sample = fitted[index]
            if sample.labels is None:
                raise DataError(f"{data.name}: {sample.name} has no labels; pruning needs them")
            frame = torch.from_numpy(np.ascontiguousarray(sample.rgb))[None]
            yield normalize(frame), torch.from_numpy(sample.labels.astype(np.int64))[None]
