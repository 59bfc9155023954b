"""The models that ship inside the package, found by name."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from edgeseg.core.bundle import MANIFEST_FILE, Bundle
from edgeseg.core.bundle import read_bundle as read_folder
from edgeseg.core.files import sha256_file
from edgeseg.core.given import instead_of_bundle, run_checkpoint
from edgeseg.core.suggest import unknown
from edgeseg.errors import BundleError, UsageError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ZOO = Path(__file__).parent.parent / "zoo"
# What `export`, `stream` and `bench` take when no model is named.
DEFAULT = "deeplabv3plus-mobilenetv2-camvid"
CHECKPOINT_FILE = "checkpoint.safetensors"
# When to take each model, and the terms of its weights; and the time of each, measured in turns.
FACTS_FILE = "zoo.toml"
TIMES_FILE = "times.json"
# Bytes and SHA-256 of each model's checkpoint, which no wheel of edgeseg carries.
CHECKPOINTS_FILE = "checkpoints.json"
# The second wheel, with the checkpoints.
CHECKPOINTS_PACKAGE = "edgeseg_zoo"


def zoo_names(root: Path = ZOO) -> list[str]:
    """Return the names of the shipped bundles, the default first."""
    names = sorted(path.parent.name for path in root.glob(f"*/{MANIFEST_FILE}"))
    return sorted(names, key=lambda name: name != DEFAULT)


def zoo_facts(root: Path = ZOO) -> dict[str, Any]:
    """Return zoo.toml: "models" by name, and the "terms" that they name; empty without the file."""
    path = root / FACTS_FILE
    if not path.is_file():
        return {"models": {}, "terms": {}}
    with path.open("rb") as file:
        return tomllib.load(file)


def zoo_times(root: Path = ZOO) -> dict[str, Any]:
    """Return times.json: "rows" by model and runtime, with "reference", "command" and "machine"."""
    path = root / TIMES_FILE
    if not path.is_file():
        return {"rows": {}}
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def zoo_checkpoints(root: Path = ZOO) -> dict[str, dict[str, Any]]:
    """Return "bytes" and "sha256" of every shipped model's checkpoint, by its name."""
    path = root / CHECKPOINTS_FILE
    if not path.is_file():
        return {}
    document: dict[str, dict[str, Any]] = json.loads(path.read_text())
    return document


def zoo_checkpoint(name: str, root: Path = ZOO) -> Path | None:
    """Return the checkpoint of a shipped model, or None where this machine has none.

    It lies beside the bundle (in a clone, and after `edgeseg models --fetch`), in the package
    edgeseg-zoo, or in the clone that edgeseg was installed from. The last two must have the SHA-256
    that this edgeseg knows.
    """
    path = root / name / CHECKPOINT_FILE
    if path.is_file():
        return path
    known = zoo_checkpoints(root).get(name)
    if known is None:
        return None
    places = (folder / name / CHECKPOINT_FILE for folder in (_package(), _clone()) if folder)
    for place in places:
        if place.is_file() and sha256_file(place) == known["sha256"]:
            return place
    return None


def missing_checkpoint(name: str) -> str:
    """Return what to say where a shipped model's checkpoint is asked for and is not here."""
    return (
        f"the checkpoint of {name} is not in this install; edgeseg models {name} --fetch FROM, "
        "where FROM is a clone of edgeseg, its edgeseg-zoo wheel, or the address of either"
    )


def _package() -> Path | None:
    """Return the folder of the package with the checkpoints, None where it is not installed."""
    found = importlib.util.find_spec(CHECKPOINTS_PACKAGE)
    return Path(found.origin).parent if found is not None and found.origin else None


def _clone() -> Path | None:
    """Return the zoo of the clone that pip installed edgeseg from, None where it was none."""
    try:
        told = importlib.metadata.distribution("edgeseg").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        return None
    address = urlparse(json.loads(told)["url"] if told else "")
    return Path(unquote(address.path)) / "edgeseg" / "zoo" if address.scheme == "file" else None


def find_checkpoint(given: Path, root: Path = ZOO) -> Path:
    """Return a checkpoint's file: `given` itself, a run folder's, or a shipped model's by its name.

    Raises:
        UsageError: it looks like a name, and no checkpoint of it ships.
    """
    if given.is_dir() and (inside := run_checkpoint(given)):
        return inside
    name = str(given)
    if given.exists() or given.suffix or given.name != name:
        return given
    shipped = {each: zoo_checkpoint(each, root) for each in zoo_names(root)}
    found = shipped.get(name)
    if found is None and name in zoo_checkpoints(root):
        raise UsageError(missing_checkpoint(name))
    if found is None:
        held = [each for each, path in shipped.items() if path]
        raise UsageError(unknown("checkpoint or zoo model", name, held))
    return found


def find_bundle(text: str, root: Path = ZOO) -> Bundle:
    """Read a bundle by its path or its zoo name; it is called by its folder, as the user does.

    What its manifest calls it is the checkpoint's name, which several bundles share.

    Raises:
        BundleError: the path is not a bundle, or the bundle is damaged.
        UsageError: `text` is neither a path that exists nor a zoo name.
    """
    path = Path(text)
    if path.exists():
        if not (path / MANIFEST_FILE).is_file() and (instead := instead_of_bundle(path)):
            raise BundleError(instead)
        return dataclasses.replace(read_folder(path), name=path.resolve().name)
    names = zoo_names(root)
    if text in names:
        return read_folder(root / text)
    if path.name != text:
        raise BundleError(f"{text} does not exist; give a bundle folder or a zoo name")
    raise UsageError(unknown("bundle", text, names) + "; a bundle folder's path works too.")


def read_bundle(model: str | Path) -> Bundle:
    """Read a bundle by its folder or the name of a shipped model; every file is checked.

    Raises:
        BundleError: the path is not a bundle, or the bundle is damaged.
        UsageError: it is neither a path that exists nor a shipped name.
    """
    return find_bundle(str(model))


def default_bundle(root: Path = ZOO) -> Bundle:
    """Read the default bundle.

    Raises:
        BundleError: this install ships no bundle.
    """
    names = zoo_names(root)
    if not names:
        raise BundleError(f"no bundle ships in {root}; give a bundle folder")
    return read_folder(root / names[0])
