"""The folder of a run: runs/VERB/NAME, and the record of its result and of what made it."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import os
import platform
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg import __version__
from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.lock import hold
from edgeseg.core.text.redact import public_words
from edgeseg.errors import UsageError

if TYPE_CHECKING:
    from edgeseg.core.data.dataset import Dataset
    from edgeseg.host.checkpoint import Checkpoint
    from edgeseg.host.training.curves import EpochRow
    from edgeseg.host.training.job_options import EpochOptions
    from edgeseg.host.training.train import TrainResult

PACKAGES = ("numpy", "torch", "onnx", "onnxscript", "onnxruntime", "openvino")


@dataclasses.dataclass(frozen=True)
class RunResult:
    """What a job that trains ended with.

    Attributes:
        folder: of the run.
        checkpoint: the file of the network that is the result.
        network: what that file holds.
        rows: one an epoch; none where nothing was trained.
        scores: of the validation, as Scores.to_json gives them; empty where none was run.
        document: what scores.json holds.
        validation: the images that were scored; None where there were none.
        about: what the run was made of, for its page: data, numbers of images, command and so on.
    """

    folder: Path
    checkpoint: Path
    network: Checkpoint
    rows: Sequence[EpochRow]
    scores: Mapping[str, Any]
    document: Mapping[str, Any]
    validation: Dataset | None
    about: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def run_folder(
    verb: str,
    name: str,
    out: Path | None,
    *,
    used_by: Sequence[str],
    again: bool,
    holds: bool = True,
) -> Path:
    """Return the folder of a run and lock it, refusing one that holds results already.

    Args:
        verb: first part of the default path.
        name: second part of the default path.
        out: the folder the user named instead, if any.
        used_by: files that a finished or interrupted run leaves; the verb's own first one.
        again: the user allows that: the run goes on or replaces what is there.
        holds: lock the folder until the job ends; False for the further processes of one job.

    Raises:
        UsageError: another process writes there, the folder holds a run and `again` is not set,
            or one of another verb.
    """
    # A network of another package is called by its callable.
    folder = out or Path("runs") / verb / name.rpartition(":")[2]
    found = [file for file in used_by if (folder / file).exists()]
    if found and not again:
        raise UsageError(
            f"{folder} holds a run already; give --resume to go on with it or another -o"
        )
    if found and used_by[0] not in found:
        raise UsageError(
            f"{folder} holds {found[0]} of another verb's run, no {used_by[0]}; give another -o"
        )
    if holds:
        hold(folder)
    return folder


def write_record(folder: Path, scores: Mapping[str, Any], command: Sequence[str] = ()) -> None:
    """Write scores.json and env.json.

    Args:
        folder: of the run.
        scores: JSON values.
        command: the words that were typed; none where a program made the run.
    """
    atomic_write_text(folder / "scores.json", json.dumps(dict(scores), indent=1) + "\n")
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    environment = {
        "edgeseg": __version__,
        "command": public_words(command),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": versions,
    }
    atomic_write_text(folder / "env.json", json.dumps(environment, indent=1) + "\n")


def about_run(
    options: EpochOptions, training: Dataset | None, validation: Dataset | None, *, epochs: bool
) -> dict[str, Any]:
    """Return what a run was made of: data, numbers of images, learning rate, seed, command.

    Args:
        options: of the job.
        training: what was trained on or looked at.
        validation: what was scored.
        epochs: something was trained.
    """
    mixed = f", {options.mix} mixed in" if options.mix else ""
    return {
        "data": f"{training.name}{mixed}" if training else None,
        "images": ", ".join(
            f"{len(part)} {what}" for part, what in ((training, "train"), (validation, "val"))
            if part is not None
        )
        or None,
        "learning rate": options.lr if epochs else None,
        "batch": options.batch if epochs else None,
        "seed": options.seed,
        "command": shlex.join(options.command) or None,
    }  # fmt: skip


def recorded(
    trained: TrainResult,
    folder: Path,
    options: EpochOptions,
    training: Dataset,
    validation: Dataset | None,
    *,
    write: bool = True,
) -> RunResult:
    """Pick a training's result as `options.result` says, and write the run's record.

    Args:
        trained: what train() returned.
        folder: of the run.
        options: of the job.
        training: what was trained on.
        validation: what was scored.
        write: False leaves the record to another process of the same training.
    """
    from edgeseg.host.training.train import BEST, LAST

    # Without one labelled pixel to score there is no best epoch, and no file of it.
    scored = [row for row in trained.rows if row.scores and row.miou >= 0]
    best = max(scored, key=lambda row: row.miou, default=None)
    newest = trained.rows[-1] if trained.rows else None
    takes_best = options.result == "best"
    row = best if takes_best else newest
    checkpoint = folder / (BEST if best and takes_best else LAST)
    scores = dict(row.scores) if row and row.scores else {}
    about = about_run(options, training, validation, epochs=True)
    document = {
        "run": str(folder),
        "checkpoint": str(checkpoint),
        "epochs": len(trained.rows),
        "seconds": sum(row.seconds for row in trained.rows),
        "best_epoch": best.epoch if best else None,
        "epoch": row.epoch if row else None,
        "about": {key: value for key, value in about.items() if value is not None},
        "class_names": list(trained.last.spec.class_names),
        "scores": scores or None,
    }
    if write:
        write_record(folder, document, options.command)
    return RunResult(
        folder,
        checkpoint,
        trained.best if takes_best else trained.last,
        trained.rows,
        scores,
        document,
        validation,
        about,
    )
