"""The resumable state of a training run, in safetensors: nothing in it is ever executed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from edgeseg.core.files import atomic_write_bytes
from edgeseg.errors import CheckpointError
from edgeseg.host.curves import EpochRow
from edgeseg.host.optim import WeightAverage


def save_state(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: WeightAverage | None,
    rows: Sequence[EpochRow],
) -> None:
    """Write weights, optimiser moments, weight average and the rows so far, atomically."""
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
    }
    contiguous = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    data = safetensors.torch.save(contiguous, metadata={"edgeseg_state": json.dumps(header)})
    atomic_write_bytes(path, data)


def load_state(
    path: Path, module: nn.Module, optimizer: torch.optim.Optimizer, average: WeightAverage | None
) -> list[EpochRow]:
    """Restore what save_state wrote; returns the rows of the epochs done.

    Raises:
        CheckpointError: the file is damaged or belongs to another module or optimiser.
    """
    try:
        with safetensors.safe_open(str(path), framework="pt") as archive:
            header = json.loads((archive.metadata() or {})["edgeseg_state"])
            tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 not a dict
        module.load_state_dict(_part(tensors, "module."))
        if average:
            average.state = _part(tensors, "average.")
            average.updates = header["updates"]
        moments: dict[int, dict[str, Any]] = {}
        for key, value in _part(tensors, "optimizer.").items():
            index, name = key.split(".", 1)
            moments.setdefault(int(index), {})[name] = value
        document = optimizer.state_dict()
        document["state"] = moments
        optimizer.load_state_dict(document)
        return [EpochRow.from_json(row) for row in header["rows"]]
    except (safetensors.SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"{path} cannot be resumed ({str(error).splitlines()[0]}); remove it to start anew"
        ) from error


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
