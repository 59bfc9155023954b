"""Retargeting: a trained network for other classes, its last layer fresh."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import torch

from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.host.checkpoint import Checkpoint, structure

if TYPE_CHECKING:
    from edgeseg.core.dataset import Dataset


def retargeted(checkpoint: Checkpoint, data: Dataset) -> tuple[Checkpoint, tuple[str, ...]]:
    """Return a float checkpoint for the classes of `data`, and the tensors that start afresh.

    Every tensor whose shape follows from the number of classes is drawn anew (torch's present
    seed), as many classes as there may be; all others are kept.
    """
    old = checkpoint.spec
    spec = dataclasses.replace(
        old,
        class_names=tuple(data.class_names),
        palette=tuple(data.palette),
        ignore_index=data.ignore_index,
    )
    fresh = _class_tensors(spec)
    layers = {key.rpartition(".")[0] for key in fresh}
    steps = tuple(_rewidened(step, layers, spec.n_classes) for step in checkpoint.steps)
    state = structure(spec, steps).state_dict()
    weights = {key: state[key] if key in fresh else checkpoint.weights[key] for key in state}
    return dataclasses.replace(checkpoint, spec=spec, steps=steps, weights=weights), fresh


def _class_tensors(spec: ModelSpec) -> tuple[str, ...]:
    """Return the names of the tensors whose shape another number of classes would change."""
    more = dataclasses.replace(
        spec,
        class_names=(*spec.class_names, "one more"),
        palette=(*spec.palette, (0, 0, 0)),
        ignore_index=255,
    )
    with torch.random.fork_rng():
        here, there = (structure(each, ()).state_dict() for each in (spec, more))
    return tuple(key for key, value in here.items() if value.shape != there[key].shape)


def _rewidened(step: StepDone, layers: set[str], n_classes: int) -> StepDone:
    """Let a prune step's record give the layers of the classes their new width."""
    if "widths" not in step.metadata:
        return step
    widths = {
        name: [width[0], n_classes] if name in layers else width
        for name, width in step.metadata["widths"].items()
    }
    return dataclasses.replace(step, metadata={**step.metadata, "widths": widths})
