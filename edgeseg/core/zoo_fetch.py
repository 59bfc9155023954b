"""Brings the checkpoints of shipped models into an install that came without them."""

from __future__ import annotations

import hashlib
import io
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from edgeseg.core.files import atomic_write_bytes
from edgeseg.core.zoo import (
    CHECKPOINT_FILE,
    CHECKPOINTS_PACKAGE,
    ZOO,
    zoo_checkpoints,
)
from edgeseg.errors import DataError, UsageError

SCHEMES = ("http://", "https://", "file://")
TIMEOUT_S = 60.0


def fetch_checkpoints(
    source: str, names: Sequence[str] = (), root: Path = ZOO
) -> Iterator[tuple[str, Path]]:
    """Bring checkpoints beside their bundles, each only with the SHA-256 that this edgeseg knows.

    Args:
        source: a clone of edgeseg, its folder edgeseg/zoo, a wheel of edgeseg-zoo, one checkpoint's
            file, or the address (http, https, file) of a zoo folder, a wheel or such a file.
        names: models; all that ship, where none is given.
        root: the zoo.

    Yields:
        a model's name and where its checkpoint now lies.

    Raises:
        UsageError: a name has no checkpoint, or one file is given for several.
        DataError: it cannot be read, or is not the checkpoint that this edgeseg knows.
    """
    known = zoo_checkpoints(root)
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"no checkpoint of {', '.join(unknown)}; known: {', '.join(known)}")
    wanted = list(names) or list(known)
    if source.endswith(".safetensors") and len(wanted) != 1:
        raise UsageError(
            f"{source} is one checkpoint; name its model: edgeseg models NAME --fetch …"
        )
    wheel = _read(source) if source.endswith(".whl") else None
    for name in wanted:
        data = _from_wheel(wheel, name, source) if wheel is not None else _one(source, name)
        digest = hashlib.sha256(data).hexdigest()
        if digest != known[name]["sha256"]:
            raise DataError(
                f"{source}: the checkpoint of {name} has SHA-256 {digest[:12]}…, expected "
                f"{known[name]['sha256'][:12]}…; give that of this version of edgeseg"
            )
        place = root / name / CHECKPOINT_FILE
        atomic_write_bytes(place, data)
        yield name, place


def _one(source: str, name: str) -> bytes:
    if source.endswith(".safetensors"):
        return _read(source)
    if source.startswith(SCHEMES):
        return _read(f"{source.rstrip('/')}/{name}/{CHECKPOINT_FILE}")
    folder = Path(source)
    inside = folder / "edgeseg" / "zoo"
    return _read(str((inside if inside.is_dir() else folder) / name / CHECKPOINT_FILE))


def _from_wheel(wheel: bytes, name: str, source: str) -> bytes:
    try:
        with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
            return archive.read(f"{CHECKPOINTS_PACKAGE}/{name}/{CHECKPOINT_FILE}")
    except (zipfile.BadZipFile, KeyError) as error:
        raise DataError(f"{source} is no wheel of edgeseg-zoo with {name} ({error})") from error


def _read(place: str) -> bytes:
    """Return the bytes of a file or of what an address gives."""
    try:
        if place.startswith(SCHEMES):
            with urllib.request.urlopen(place, timeout=TIMEOUT_S) as answer:
                data: bytes = answer.read()
                return data
        return Path(place).read_bytes()
    except (OSError, urllib.error.URLError, ValueError) as error:
        why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
        raise DataError(
            f"{place} cannot be read ({why}); give a clone of edgeseg or its edgeseg-zoo wheel"
        ) from error
