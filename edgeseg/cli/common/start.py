"""The network a verb starts from, and its data, fitted to each other."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.common.output import say
from edgeseg.errors import UsageError

if TYPE_CHECKING:
    from edgeseg.core.data.dataset import Dataset
    from edgeseg.core.spec import ModelSpec
    from edgeseg.host.checkpoint import Checkpoint

# Frames on which the batch norms of a quantised network are measured again.
UNFOLD_IMAGES = 32


def load_start(path: Path, arch: str, size_hw: tuple[int, int] | None) -> Checkpoint:
    """Read the checkpoint that `train --init` goes on from, its input of another size if asked.

    Raises:
        CheckpointError: the file is no checkpoint.
        UsageError: it is of another architecture.
    """
    from edgeseg.host.checkpoint import load_checkpoint

    start = load_checkpoint(path)
    if start.spec.arch != arch:
        raise UsageError(f"{path} is a {start.spec.arch}, not a {arch}")
    if size_hw is None:
        return start
    return dataclasses.replace(start, spec=dataclasses.replace(start.spec, size_hw=size_hw))


def fit_start(start: Checkpoint, path: Path, data: Dataset, *, quiet: bool) -> Checkpoint:
    """Return a float checkpoint for the classes of `data`, and say what that changed.

    A quantised network is unfolded on frames of `data`; other classes get a fresh last layer.
    """
    from edgeseg.host.finetuning.change_classes import retargeted

    if start.quantized:
        start = _unfolded(start, data)
        if not quiet:
            say(f"{path} is quantised; it goes on in float, its batch norms measured again")
    if start.spec.class_names != tuple(data.class_names):
        start, fresh = retargeted(start, data)
        if not quiet:
            layers = ", ".join(sorted({key.rpartition(".")[0] for key in fresh}))
            say(f"{path} has other classes than {data.name}: {layers} starts afresh")
    return start


def fitting(path: Path, spec: ModelSpec, *datasets: Dataset) -> list[Dataset]:
    """Return the data sets with the network's label for ignored pixels.

    Raises:
        UsageError: one has other classes than the network.
    """
    from edgeseg.core.data.views import with_ignored

    for dataset in datasets:
        if tuple(dataset.class_names) != spec.class_names:
            raise UsageError(
                f"{path} has classes {', '.join(spec.class_names)}; {dataset.name} has "
                f"{', '.join(dataset.class_names)}; train it for them first: edgeseg train "
                f"{spec.arch} --init {path}"
            )
    return [with_ignored(dataset, spec.ignore_index) for dataset in datasets]


def refuse_quantized(start: Checkpoint, path: Path) -> None:
    """Refuse a quantised network where a float one is needed.

    Raises:
        UsageError: it is quantised.
    """
    if start.quantized:
        raise UsageError(
            f"{path} is quantized already; give the float checkpoint, or make one of it: edgeseg "
            f"train {start.spec.arch} --init {path}"
        )


def _unfolded(start: Checkpoint, data: Dataset) -> Checkpoint:
    from edgeseg.cli.common.quantize_options import calibration_frames, normalized
    from edgeseg.host.finetuning.restore_batch_norms import unfolded

    frames = calibration_frames(start.spec, data, UNFOLD_IMAGES)
    return unfolded(start, normalized(start.spec, frames))
