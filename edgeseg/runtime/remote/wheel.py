"""The wheel of the edgeseg that runs here, made again from its files.

An installed package has no source to build from, and a checkout may not be published: both have
their files and the metadata that pip wrote.
"""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import shutil
import tempfile
import zipfile
from pathlib import Path

from edgeseg.core.files import sha256_file
from edgeseg.core.zoo import CHECKPOINT_FILE
from edgeseg.errors import BoardError

# The least that a zip file can say, so that equal files give an equal wheel.
DATE = (1980, 1, 1, 0, 0, 0)
WHEEL = "Wheel-Version: 1.0\nGenerator: edgeseg\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
# What is compressed already stays as it is.
STORED = (".onnx", ".safetensors", ".npz", ".jpg", ".png")
KEPT = 2


def edgeseg_wheel(cache: Path) -> tuple[Path, str]:
    """Return the wheel of this edgeseg and its SHA-256.

    Args:
        cache: folder where wheels are kept, so that the same files are packed once.

    Raises:
        BoardError: this edgeseg runs without having been installed, so it has no metadata.
    """
    package = Path(__file__).parents[2]
    try:
        distribution = importlib.metadata.distribution("edgeseg")
    except importlib.metadata.PackageNotFoundError:
        raise BoardError(
            f"{package} runs without being installed, so no wheel can be made of it; "
            f"pip install -e {package.parent}"
        ) from None
    files = [
        path
        for path in sorted(package.rglob("*"))
        if path.is_file()
        and "__pycache__" not in path.parts
        and not path.name.startswith(".")
        # A board neither trains nor exports.
        and path.name != CHECKPOINT_FILE
    ]
    metadata = distribution.read_text("METADATA") or ""
    entries = distribution.read_text("entry_points.txt") or ""
    key = hashlib.sha256(f"{metadata}{entries}".encode())
    for path in files:
        held = path.stat()
        key.update(f"{path}\0{held.st_size}\0{held.st_mtime_ns}\n".encode())
    name = f"edgeseg-{distribution.version}-py3-none-any.whl"
    place = cache / key.hexdigest()[:16] / name
    if not place.is_file():
        info = f"edgeseg-{distribution.version}.dist-info"
        texts = {f"{info}/METADATA": metadata, f"{info}/WHEEL": WHEEL}
        if entries:
            texts[f"{info}/entry_points.txt"] = entries
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            _pack(Path(folder) / name, package, files, texts, info)
            (Path(folder) / name).replace(place)
        _prune(cache)
    return place, sha256_file(place)


def _pack(place: Path, package: Path, files: list[Path], texts: dict[str, str], info: str) -> None:
    record = []
    contents = {path.relative_to(package.parent).as_posix(): path.read_bytes() for path in files}
    contents |= {name: text.encode() for name, text in texts.items()}
    with zipfile.ZipFile(place, "w") as wheel:
        for name, data in contents.items():
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f'"{name}",sha256={digest},{len(data)}')
            _add(wheel, name, data)
        record.append(f"{info}/RECORD,,")
        _add(wheel, f"{info}/RECORD", "\n".join([*record, ""]).encode())


def _add(wheel: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name, DATE)
    entry.external_attr = 0o644 << 16
    stored = name.endswith(STORED)
    entry.compress_type = zipfile.ZIP_STORED if stored else zipfile.ZIP_DEFLATED
    wheel.writestr(entry, data)


def _prune(cache: Path) -> None:
    held = sorted(cache.iterdir(), key=lambda place: place.stat().st_mtime, reverse=True)
    for old in held[KEPT:]:
        shutil.rmtree(old, ignore_errors=True)
