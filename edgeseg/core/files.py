"""Write files and folders so that a crash never leaves half of one behind."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


def atomic_write_bytes(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` to a temporary name beside `path`, then rename it over `path`.

    A link is followed; a device or a pipe, such as /dev/stdout, is written into.

    Raises:
        OSError: the folder cannot be written or the disk is full; `path` is as it was before.
    """
    path = _behind_link(path)
    if is_device(path):
        with path.open("wb") as stream:
            stream.write(data)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def atomic_write_text(path: Path, text: str, mode: int = 0o644) -> None:
    """Write UTF-8 `text` to `path` as atomic_write_bytes does."""
    atomic_write_bytes(path, text.encode(), mode)


@contextlib.contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`.

    A folder already at `path`, or where a link there leads, is replaced as a whole; if the body
    raises, it stays untouched.
    A killed process leaves at most a hidden folder named `.NAME.*.partial`, which nothing loads.
    """
    path = _behind_link(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            retired = temporary.with_suffix(".old")
            path.rename(retired)
            temporary.rename(path)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            temporary.rename(path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def is_device(path: Path) -> bool:
    """Tell whether a device, pipe or socket is there: a file to write into, not to replace."""
    return path.exists() and not path.is_file() and not path.is_dir()


def _behind_link(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def sha256_file(path: Path) -> str:
    """Return the hex SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
