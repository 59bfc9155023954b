"""State dicts that others saved: tensors alone, whatever prefixes their names have."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path

import safetensors.torch
import torch

from edgeseg.errors import CheckpointError
from edgeseg.host.models.backbones.base import COUNTERS

# What wraps a state dict in a training's own file.
HOLDERS = (
    "state_dict", "model_state", "model_state_dict", "model", "net", "network", "weights",
    "state_dict_ema", "params",
)  # fmt: skip
# What trainers and wrappers put before a tensor's name.
PREFIXES = (
    "module.", "model.", "encoder.", "backbone.", "net.", "network.", "state_dict.", "model_state.",
    "_orig_mod.", "base.",
)  # fmt: skip
MOST_PREFIXES = 4
# Bytes of a zip's entries for each of its own; a file packed by hand may be smaller.
MOST_UNPACKED = 4


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Read the tensors of a file; nothing in it is executed.

    A training's own file, which holds the weights beside other things, gives its weights.

    Args:
        path: .safetensors, or what torch.save wrote, which is read with weights_only.

    Raises:
        CheckpointError: the file is unreadable, holds code, or is no state dict of float weights.
    """
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; nothing is downloaded, give a local file")
    _refuse_packed(path)
    try:
        if path.suffix == ".safetensors":
            state = safetensors.torch.load_file(str(path))
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        # What torch's restricted unpickler raises on a damaged file is whatever byte it met.
        if found := re.search(r"GLOBAL ([\w.]+)", str(error)):
            raise CheckpointError(
                f"{path} holds {found[1]}, whose code is not run; save the mapping of names to "
                "tensors alone: torch.save(model.state_dict(), file)"
            ) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CheckpointError(
            f"{path} is no state dict of tensors ({reason}); "
            "give .safetensors, or .pth as torch.save writes a state dict"
        ) from error
    for _ in HOLDERS:
        holders = [key for key in HOLDERS if isinstance(state, Mapping) and key in state]
        inner = next((state[key] for key in holders if isinstance(state[key], Mapping)), None)
        if inner is None:
            break
        state = inner
    if not isinstance(state, Mapping) or not all(torch.is_tensor(v) for v in state.values()):
        held = ", ".join(map(str, list(state)[:3])) if isinstance(state, Mapping) else type(state)
        raise CheckpointError(
            f"{path} is no state dict but holds {held}; save the mapping of names to tensors alone"
        )
    for name, value in state.items():
        if problem := _unusable(name, value):
            raise CheckpointError(f"{path}: {name} {problem}; give a state dict of float weights")
    return dict(state)


def aligned(given: Mapping[str, torch.Tensor], wanted: Collection[str]) -> dict[str, torch.Tensor]:
    """Return a state dict without the prefixes that keep its names from being `wanted`.

    Of all ways to take prefixes away, the one with most matches is taken, and of those the one that
    takes least. Names without the prefix stay.
    """
    names = set(wanted)
    best, most = dict(given), len(names & set(given))
    present, seen = [dict(given)], {frozenset(given)}
    for _ in range(MOST_PREFIXES):
        following = []
        for state in present:
            for prefix in PREFIXES:
                if not any(key.startswith(prefix) for key in state):
                    continue
                # The prefixed ones last: they are what is looked for.
                shorter = {k: v for k, v in state.items() if not k.startswith(prefix)}
                shorter |= {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
                if frozenset(shorter) in seen:
                    continue
                seen.add(frozenset(shorter))
                following.append(shorter)
                matches = len(names & set(shorter))
                if matches > most:
                    best, most = shorter, matches
        present = following
    return best


def _refuse_packed(path: Path) -> None:
    """Refuse a zip whose entries unpack to more than the file; torch.save packs nothing.

    Raises:
        CheckpointError: its entries are compressed to less than a quarter.
    """
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        # torch.load says what is wrong with it.
        return
    if unpacked > MOST_UNPACKED * max(path.stat().st_size, 1 << 20):
        raise CheckpointError(
            f"{path} would unpack to {unpacked:,} bytes; torch.save writes weights as they are: "
            "save the state dict again"
        )


def _unusable(name: object, value: torch.Tensor) -> str:
    """Tell what keeps a tensor from being weights, nothing where it can be."""
    if not isinstance(name, str):
        return "is no name"
    if value.layout is not torch.strided or value.is_meta:
        return "is sparse or holds no values"
    if name.endswith(COUNTERS):
        return ""
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        # Strides of 0: a few bytes that claim to be a terabyte.
        return f"claims {value.numel():,} values and holds fewer"
    if not value.is_floating_point():
        return f"is {str(value.dtype).removeprefix('torch.')}"
    return "" if bool(torch.isfinite(value).all()) else "has values that are not finite"
