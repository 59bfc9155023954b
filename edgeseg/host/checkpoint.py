"""Checkpoint: one safetensors file that knows how to rebuild its network."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import nn

from edgeseg import __version__
from edgeseg.core.files import atomic_write_bytes
from edgeseg.core.files.bounded import parse_json
from edgeseg.core.recipe import DONE_KINDS, StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.foreign.build import build_network

FORMAT = 1
HEADER_KEY = "edgeseg"
# Steps that change a module's structure: kind -> "module:function" taking (module, StepDone).
REPLAY: dict[str, str] = {
    "prune": "edgeseg.host.pruning.cut:replay",
    "quantize": "edgeseg.host.quantization.quantize:replay",
}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A trained network: spec, what was done to it, weights, where it came from.

    Attributes:
        spec: the architecture and its meaning.
        steps: steps done, in order; replaying them on a fresh module gives its structure.
        weights: the state dict, float32.
        provenance: seed, options, data, versions; JSON values.
        scores: measured scores with the data they were measured on; JSON values.
    """

    spec: ModelSpec
    steps: tuple[StepDone, ...]
    weights: Mapping[str, torch.Tensor]
    provenance: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    scores: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def quantized(self) -> bool:
        """Whether a quantize step is among the steps."""
        return any(step.kind == "quantize" for step in self.steps)


def save_checkpoint(path: Path, checkpoint: Checkpoint, *, half: bool = False) -> None:
    """Write a checkpoint to one file, atomically.

    Args:
        path: the file, `.safetensors` by convention.
        checkpoint: what to write.
        half: store float32 weights as float16, half the bytes. Measure scores on the file read
            back: its weights are the rounded ones.
    """
    header = {
        "format": FORMAT,
        "spec": checkpoint.spec.to_json(),
        "steps": [step.to_json() for step in checkpoint.steps],
        "provenance": dict(checkpoint.provenance),
        "scores": dict(checkpoint.scores),
    }
    weights = {}
    for key, value in checkpoint.weights.items():
        value = value.detach().cpu()
        shrink = half and value.dtype == torch.float32 and value.ndim > 1
        weights[key] = (value.half() if shrink else value).contiguous()
    data = safetensors.torch.save(weights, metadata={HEADER_KEY: json.dumps(header)})
    atomic_write_bytes(path, data)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint; nothing in the file is executed.

    Raises:
        CheckpointError: the file is missing, not a checkpoint, or damaged.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; give a checkpoint written by edgeseg train")
    try:
        with safetensors.safe_open(str(path), framework="pt") as archive:
            header = read_header((archive.metadata() or {})[HEADER_KEY], path)
            if header["format"] != FORMAT:
                raise CheckpointError(
                    f"{path} has checkpoint format {header['format']}, this edgeseg reads {FORMAT}"
                )
            weights = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 not a dict
        steps = tuple(StepDone.from_json(step) for step in header["steps"])
        _check_steps(steps, f"{path} was")
        _check_finite(weights, path)
        return Checkpoint(
            ModelSpec.from_json(header["spec"]),
            steps,
            {k: v.float() if v.dtype == torch.float16 else v for k, v in weights.items()},
            header["provenance"],
            header["scores"],
        )
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        # safetensors, torch and what reads the header raise a dozen classes for a damaged file.
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is not an edgeseg checkpoint or is damaged: {why}"
        ) from error


def read_header(text: str, path: Path) -> dict[str, Any]:
    """Return what the header of a checkpoint or of a training's state says.

    Raises:
        CheckpointError: it is no JSON object.
    """
    found = parse_json(text, path, CheckpointError, advice="give another checkpoint")
    if not isinstance(found, dict):
        raise CheckpointError(f"{path} has no header of edgeseg; give another checkpoint")
    return found


def load_float_checkpoint(path: Path) -> Checkpoint:
    """Read the checkpoint of a network that has not been quantized.

    Raises:
        CheckpointError: the file is missing, not a checkpoint, or damaged.
        UsageError: the network is quantized.
    """
    checkpoint = load_checkpoint(path)
    if checkpoint.quantized:
        raise UsageError(
            f"{path} is quantized already; give the float checkpoint, or make one of it: edgeseg "
            f"train {checkpoint.spec.arch} --init {path}"
        )
    return checkpoint


def module_from_checkpoint(checkpoint: Checkpoint) -> nn.Module:
    """Rebuild the network: structure, weights loaded strictly, eval mode.

    Raises:
        CheckpointError: the weights do not fit the rebuilt structure.
    """
    module = structure(checkpoint.spec, checkpoint.steps)
    try:
        module.load_state_dict(dict(checkpoint.weights), strict=True)
    except RuntimeError as error:
        summary = str(error).splitlines()[-1].strip()
        raise CheckpointError(
            f"the weights do not fit {checkpoint.spec.arch}: {summary}"
        ) from error
    return module.eval()


def structure(spec: ModelSpec, steps: Iterable[StepDone]) -> nn.Module:
    """Build a fresh network and replay on it what the steps did to its structure.

    Raises:
        CheckpointError: a step is none that this version knows, or the network's package is not
            installed.
        UsageError: the network is another package's, which the user does not trust.
    """
    steps = tuple(steps)
    _check_steps(steps, f"the network {spec.arch} was")
    module = build_network(spec)
    for step in steps:
        if step.kind in REPLAY:
            name, function = REPLAY[step.kind].split(":")
            module = getattr(importlib.import_module(name), function)(module, step)
    return module


def _check_steps(steps: Iterable[StepDone], whose: str) -> None:
    """Refuse steps of a later version: passed over, they would leave another network.

    Raises:
        CheckpointError: a kind is not known here.
    """
    for step in steps:
        if step.kind not in DONE_KINDS:
            raise CheckpointError(
                f"{whose} made with a step {step.kind!r} that edgeseg {__version__} does not know "
                f"(it knows {', '.join(DONE_KINDS)}); use the edgeseg that wrote the checkpoint, "
                "or a later one"
            )


def _check_finite(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Refuse weights that no network can compute with.

    Raises:
        CheckpointError: a value is NaN or infinite.
    """
    bad = [
        (key, int((~torch.isfinite(value)).sum()), value.numel())
        for key, value in weights.items()
        if value.is_floating_point() and not bool(torch.isfinite(value).all())
    ]
    if bad:
        key, count, total = bad[0]
        raise CheckpointError(
            f"{path} has {count} NaN or infinite of {total} values in {key!r}, in {len(bad)} "
            "tensors altogether; the training diverged or the file was converted badly: train "
            "again with a lower --lr, or give an earlier checkpoint"
        )
