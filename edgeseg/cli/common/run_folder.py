"""runs/VERB/NAME: where a verb leaves its results, and a record of where they came from."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import edgeseg
from edgeseg.core.files import atomic_write_text
from edgeseg.errors import UsageError

PACKAGES = ("numpy", "torch", "onnx", "onnxscript", "onnxruntime", "openvino")


def run_folder(
    verb: str, name: str, out: Path | None, *, used_by: Sequence[str], again: bool
) -> Path:
    """Return the folder of a run, refusing one that holds results already.

    Args:
        verb: first part of the default path.
        name: second part of the default path.
        out: the folder the user named instead, if any.
        used_by: files that a finished or interrupted run leaves; the verb's own first one.
        again: the user allows that: the run goes on or replaces what is there.

    Raises:
        UsageError: the folder holds a run and `again` is not set, or one of another verb.
    """
    folder = out or Path("runs") / verb / name
    found = [file for file in used_by if (folder / file).exists()]
    if found and not again:
        raise UsageError(
            f"{folder} holds a run already; give --resume to go on with it or another -o"
        )
    if found and used_by[0] not in found:
        raise UsageError(
            f"{folder} holds {found[0]} of another verb's run, no {used_by[0]}; give another -o"
        )
    return folder


def write_record(folder: Path, scores: Mapping[str, Any]) -> None:
    """Write scores.json and env.json."""
    atomic_write_text(folder / "scores.json", json.dumps(dict(scores), indent=1) + "\n")
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    environment = {
        "edgeseg": edgeseg.__version__,
        "command": ["edgeseg", *sys.argv[1:]],
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": versions,
    }
    atomic_write_text(folder / "env.json", json.dumps(environment, indent=1) + "\n")
