"""What a user gave where a bundle is expected, and the command that makes a bundle of it."""

from __future__ import annotations

import shlex
import struct
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import MANIFEST_FILE
from edgeseg.core.files.bounded import parse_json
from edgeseg.errors import UsageError

# What a run leaves, the file that its user means first.
RUN_CHECKPOINTS = (
    "best.safetensors",
    "balanced.safetensors",
    "pruned.safetensors",
    "last.safetensors",
)
# Names that say nothing of the network; the folder's does.
GENERIC = tuple(Path(name).stem for name in RUN_CHECKPOINTS)
STATE_DICTS = (".pth", ".pt", ".ckpt", ".bin", ".tar")
ENGINES = (".engine", ".plan", ".trt")
# A header of JSON is a few hundred kilobytes; a larger one is no safetensors file.
MOST_HEADER = 100_000_000


def run_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint that a run's folder holds, the best where there are several."""
    return next((folder / name for name in RUN_CHECKPOINTS if (folder / name).is_file()), None)


def name_of(path: Path) -> str:
    """Return what the network in a file is called: its name, or its folder's for best and last."""
    return path.resolve().parent.name if path.stem in GENERIC else path.stem


def instead_of_bundle(path: Path) -> str:
    """Return what stands at a path that is no bundle, and the exact command that makes one of it.

    Args:
        path: a file or folder that exists.

    Returns:
        One line, empty for what nothing can be made of.
    """
    if path.is_dir():
        held = run_checkpoint(path)
        if held is not None:
            return f"{path} is a run's folder; {_export(held)}"
        inside = sorted(each.parent for each in path.glob(f"*/{MANIFEST_FILE}"))
        names = ", ".join(map(str, inside[:4]))
        return f"{path} holds bundles; give one of them: {names}" if inside else ""
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return f"{path} is an ONNX file, not a bundle; make one of it: {import_command(path)}"
    if suffix == ".safetensors" and checkpoint_header(path) is not None:
        return f"{path} is a checkpoint, not a bundle; {_export(path)}"
    if suffix in (".safetensors", *STATE_DICTS):
        return (
            f"{path} is no bundle, and no checkpoint of edgeseg; import the network that its "
            f"tensors belong to: {_import_weights(path)}"
        )
    if suffix in ENGINES:
        return f"{path} is an engine, which is built of a bundle and kept; give the bundle"
    return ""


def import_command(path: Path) -> str:
    """Return the command that imports an ONNX file; what only the user knows is in capitals."""
    return (
        f"edgeseg import {shlex.quote(str(path))} --classes classes.txt --size "
        f"{_onnx_size(path) or 'HxW'} --mean R,G,B --std R,G,B -o {shlex.quote(path.stem)}"
    )


def _export(path: Path) -> str:
    header = checkpoint_header(path) or {}
    steps = header.get("steps")
    steps = steps if isinstance(steps, list) else []
    kinds = [step.get("kind") for step in steps if isinstance(step, dict)]
    given, name = shlex.quote(str(path)), shlex.quote(name_of(path))
    if "quantize" in kinds:
        return f"make one of it: edgeseg export {given} --int8 -o {name}-int8"
    return (
        f"make one of it: edgeseg export {given} --int8 --calibrate DATA -o {name}-int8, or --fp32"
    )


def _import_weights(path: Path) -> str:
    return (
        f"edgeseg import package.module:callable --weights {shlex.quote(str(path))} --classes "
        f"classes.txt --size HxW --mean R,G,B --std R,G,B -o {shlex.quote(path.stem)}-net"
        ".safetensors"
    )


def checkpoint_header(path: Path) -> dict[str, Any] | None:
    """Return the header of an edgeseg checkpoint; None for any other file.

    It is read without torch and safetensors, which a board does not have.
    """
    try:
        with path.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > MOST_HEADER:
                return None
            text = stream.read(length)
        header = parse_json(text, path, UsageError, advice="give a checkpoint")
        found = parse_json(header["__metadata__"]["edgeseg"], path, UsageError, advice="give one")
    except (OSError, struct.error, KeyError, TypeError, UsageError):
        return None
    return found if isinstance(found, dict) else None


def _onnx_size(path: Path) -> str:
    """Return the size HxW that an ONNX file fixes, empty where it fixes none or is none."""
    try:
        import onnx

        graph = onnx.load(path, load_external_data=False).graph
        held = {tensor.name for tensor in graph.initializer}
        (value,) = (value for value in graph.input if value.name not in held)
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        height, width = dims[1:3] if dims[3] == 3 and dims[1] != 3 else dims[2:4]
    except Exception:
        # Whatever is wrong with the file, its import says it better.
        return ""
    return f"{height}x{width}" if height and width else ""
