"""Write files and folders so that a crash never leaves half of one behind."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

# renameat2's: the two names change places in one step.
RENAME_EXCHANGE = 2
HERE = -100  # AT_FDCWD


def atomic_write_bytes(path: Path, data: bytes, mode: int | None = None) -> None:
    """Write `data` to a temporary name beside `path`, then rename it over `path`.

    A link is followed; a device or a pipe, such as /dev/stdout, is written into. File and folder
    are synced, so that after a power cut either the old or the new file is there.

    Args:
        path: the file.
        data: its content.
        mode: its permissions; by default those of the file that it replaces, or what the umask
            leaves of 0666.

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
        Path(temporary).chmod(_mode(path, 0o666) if mode is None else mode)
        Path(temporary).replace(path)
        _sync(path.parent)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def atomic_write_text(path: Path, text: str, mode: int | None = None) -> None:
    """Write UTF-8 `text` to `path` as atomic_write_bytes does."""
    atomic_write_bytes(path, text.encode(), mode)


@contextlib.contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside `path`; on success it takes the place of `path`.

    A folder already at `path`, or where a link there leads, is replaced as a whole, at no moment
    is there neither, and its files are synced first; if the body raises, it stays untouched. Where
    two write at once, the last one stays. A killed process leaves at most a hidden folder named
    `.NAME.*.partial`, which nothing loads.

    Raises:
        OSError: the folder cannot be written, or a file is there; `path` is as it was before.
    """
    path = _behind_link(path)
    if path.is_file():
        raise FileExistsError(errno.EEXIST, "a file stands where a folder is to go", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".partial", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(_mode(path, 0o777))
        for entry in sorted(temporary.rglob("*")):
            if entry.is_file():
                _sync(entry)
        _sync(temporary)
        _replace_folder(temporary, path)
        _sync(path.parent)
    finally:
        # What is left here is the old folder, or what a failed body wrote.
        shutil.rmtree(temporary, ignore_errors=True)


def _replace_folder(new: Path, path: Path) -> None:
    """Give `new` the name `path`; what was there gets the name `new`."""
    while True:
        try:
            new.rename(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        try:
            _exchange(new, path)
            return
        except FileNotFoundError:
            # Somebody has just taken it away.
            continue


def _exchange(one: Path, other: Path) -> None:
    """Let two names change places in one step, or nearly where the file system cannot.

    Raises:
        FileNotFoundError: one of them is not there.
        OSError: they cannot be renamed.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if renameat2 is not None:
        paths = (os.fsencode(one), os.fsencode(other))
        if renameat2(HERE, paths[0], HERE, paths[1], RENAME_EXCHANGE) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL):
            raise OSError(code, os.strerror(code), str(other))
    # Between these two renames there is neither; such file systems have no better way.
    aside = Path(tempfile.mkdtemp(prefix=f".{other.name}.", suffix=".partial", dir=other.parent))
    other.rename(aside / other.name)
    try:
        one.rename(other)
    except BaseException:
        (aside / other.name).rename(other)
        raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _mode(path: Path, usual: int) -> int:
    """Return the permissions of what stands at `path`, or what the umask leaves of `usual`."""
    with contextlib.suppress(OSError):
        return stat.S_IMODE(path.stat().st_mode)
    return usual & ~_umask()


def _umask() -> int:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("Umask:")).split()[1], 8)
    # Elsewhere it cannot be read without being set.
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _sync(path: Path) -> None:
    """Send a file or folder to the disk; a file system that cannot sync folders is let be."""
    handle = os.open(path, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)


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
