"""The resumable state of a training run, one safetensors file; reading it executes no code."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.files import atomic_write_bytes
from edgeseg.core.recipe import StepDone
from edgeseg.core.run_key import changes, key_digest, run_key
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError, EdgesegError, UsageError
from edgeseg.host.checkpoint import read_header
from edgeseg.host.training.curves import EpochRow
from edgeseg.host.training.optim import WeightAverage
from edgeseg.host.training.options import TrainOptions, with_defaults

# What a network is besides its name; the steps before tell how it was narrowed.
DECIDING = ("class_names", "ignore_index", "size_hw", "preprocess", "output_stride", "options")


def made_with(
    spec: ModelSpec,
    options: TrainOptions,
    step: StepDone,
    steps_before: Sequence[StepDone],
    data: Dataset,
    extra: Sequence[tuple[Dataset, float]],
) -> dict[str, Any]:
    """Return what a run must have in common with the one it goes on with, JSON values."""
    network = spec.to_json()
    return run_key(
        arch=spec.arch,
        **{key: network[key] for key in DECIDING},
        kind=step.kind,
        data=data,
        images=len(data),
        mix=extra,
        steps_before=key_digest([one.to_json() for one in steps_before]),
        **options.deciding(),
        **{f"{role}'s sha256": hashes for role, hashes in step.metadata.items()},
    )


def save_state(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    rows: Sequence[EpochRow],
    made: Mapping[str, Any],
) -> None:
    """Write weights, optimizer moments, weight average and the rows so far, atomically.

    `made` is what made_with gives for the run.
    """
    tensors = {f"module.{key}": value for key, value in module.state_dict().items()}
    if average:
        tensors |= {f"average.{key}": value for key, value in average.state.items()}
    for index, entry in optimizer.state_dict()["state"].items():
        for key, value in entry.items():
            if torch.is_tensor(value):
                tensors[f"optimizer.{index}.{key}"] = value
    header = {
        "rows": [row.to_json() for row in rows],
        "updates": average.updates if average else 0,
        "made_with": dict(made),
    }
    contiguous = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    data = safetensors.torch.save(contiguous, metadata={"edgeseg_state": json.dumps(header)})
    atomic_write_bytes(path, data)


def load_state(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    made: Mapping[str, Any],
) -> list[EpochRow]:
    """Restore what save_state wrote; returns the rows of the epochs done.

    Raises:
        CheckpointError: the file is damaged or belongs to another module or optimizer.
        UsageError: it is of a run that was made with something else; all of it is named.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as archive:
            header = read_header((archive.metadata() or {})["edgeseg_state"], path)
            tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 not a dict
        _check_same_run(path, header.get("made_with", {}), made)
        module.load_state_dict(_part(tensors, "module."))
        if average:
            stored = _part(tensors, "average.")
            for key, value in average.state.items():
                # Into the tensors that are there: a file knows no device.
                value.copy_(stored[key])
            average.updates = header["updates"]
        moments: dict[int, dict[str, Any]] = {}
        for key, value in _part(tensors, "optimizer.").items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value
        _check_shapes(optimizer, moments)
        document = optimizer.state_dict()
        document["state"] = moments
        optimizer.load_state_dict(document)
        return [EpochRow.from_json(row) for row in header["rows"]]
    except EdgesegError:
        raise
    except Exception as error:
        # safetensors, torch and what reads the header raise a dozen classes for a damaged file.
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} cannot be resumed ({why}); remove it to start anew"
        ) from error


def _check_same_run(path: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    changed = changes(with_defaults(before) if before else {}, now)
    if changed:
        raise UsageError(
            f"{path.parent} holds a run with {'; '.join(changed)}; give the same again, or another "
            "-o to start anew (train --init goes on from its result)"
        )


def _check_shapes(
    optimizer: torch.optim.Optimizer, moments: Mapping[int, Mapping[str, Any]]
) -> None:
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for index, entry in moments.items():
        for value in entry.values():
            if value.ndim and value.shape != parameters[index].shape:
                raise ValueError(
                    f"moments of shape {tuple(value.shape)} for a parameter of shape "
                    f"{tuple(parameters[index].shape)}"
                )


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
