"""Gives a trained network other classes: its last layer is drawn anew, all others stay."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import MOST_CLASSES
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, structure
from edgeseg.host.pruning.cut import Widths, widths_of
from edgeseg.host.pruning.sparsity import SPARSE, two_of_four

if TYPE_CHECKING:
    from edgeseg.core.data.dataset import Dataset


def with_classes_of(checkpoint: Checkpoint, data: Dataset) -> tuple[Checkpoint, tuple[str, ...]]:
    """Return a float checkpoint for the classes of `data`, and the tensors that start afresh.

    Every tensor whose shape follows from the number of classes is drawn anew (torch's present
    seed), as many classes as there may be; all others are kept.

    Raises:
        UsageError: pruning took channels out where there is one for each class.
    """
    old = checkpoint.spec
    spec = dataclasses.replace(
        old,
        class_names=tuple(data.class_names),
        palette=tuple(data.palette),
        ignore_index=data.ignore_index,
    )
    # A class more, or one less where there may be no more; only what differs counts.
    names, palette = (*spec.class_names, "one more"), (*spec.palette, (0, 0, 0))
    if spec.n_classes == MOST_CLASSES:
        names, palette = spec.class_names[:-1], spec.palette[:-1]
    other = dataclasses.replace(spec, class_names=names, palette=palette, ignore_index=255)
    with torch.random.fork_rng():
        before, here, there = (structure(each, ()) for each in (old, spec, other))
    shapes = {key: value.shape for key, value in there.state_dict().items()}
    fresh = tuple(key for key, v in here.state_dict().items() if v.shape != shapes[key])
    widths = widths_of(before), widths_of(here), widths_of(there)
    steps = tuple(_rewidened(step, *widths) for step in checkpoint.steps)
    state = structure(spec, steps).state_dict()
    steps = tuple(_still_sparse(step, state, fresh) for step in steps)
    weights = {key: state[key] if key in fresh else checkpoint.weights[key] for key in state}
    for name in {name for step in steps for name in step.metadata.get(SPARSE, ())}:
        if f"{name}.weight" in fresh:
            weights[f"{name}.weight"] *= two_of_four(weights[f"{name}.weight"])
    return dataclasses.replace(checkpoint, spec=spec, steps=steps, weights=weights), fresh


def _still_sparse(
    step: StepDone, state: Mapping[str, torch.Tensor], fresh: tuple[str, ...]
) -> StepDone:
    """Leave out of a step's sparse layers those that no longer have groups of four channels."""
    if SPARSE not in step.metadata:
        return step
    names = [
        name
        for name in step.metadata[SPARSE]
        if f"{name}.weight" not in fresh or state[f"{name}.weight"].shape[1] % 4 == 0
    ]
    return dataclasses.replace(step, metadata={**step.metadata, SPARSE: names})


def _rewidened(step: StepDone, before: Widths, here: Widths, there: Widths) -> StepDone:
    """Let a prune step's record have the new classes' widths.

    Args:
        step: any step.
        before: the unpruned network's widths for the old classes.
        here: for the new ones.
        there: for one class more: a side that differs from `here` follows from the classes.
    """
    if "widths" not in step.metadata:
        return step
    widths: dict[str, list[int]] = {}
    for name, recorded in step.metadata["widths"].items():
        widths[name] = list(recorded)
        for side in (0, 1):
            if here[name][side] == there[name][side]:
                continue
            if recorded[side] != before[name][side]:
                raise UsageError(
                    f"pruning left {name} {recorded[side]} of {before[name][side]} channels, which "
                    "belong to the classes; go on from the network before it was pruned"
                )
            widths[name][side] = here[name][side]
    return dataclasses.replace(step, metadata={**step.metadata, "widths": widths})
