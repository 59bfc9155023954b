"""A folder that one process writes at a time, and the name of who does.

The system drops the lock when its owner ends, however that ends, so that no stale one stands in
anybody's way; what a dead owner left in the file is told, and replaced. Readers need no lock.
"""

from __future__ import annotations

import contextlib
import contextvars
import datetime
import errno
import fcntl
import functools
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from edgeseg.core.text.names import one_line
from edgeseg.errors import UsageError

Given = ParamSpec("Given")
Result = TypeVar("Result")
LOCK = ".edgeseg-lock"
MOST_BYTES = 4096
# File systems without locks; two writers cannot be told apart there.
NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS)
# Locks of the job that runs, to be dropped at its end.
_HELD: contextvars.ContextVar[contextlib.ExitStack | None] = contextvars.ContextVar(
    "edgeseg-locks", default=None
)


def one_writer(job: Callable[Given, Result]) -> Callable[Given, Result]:
    """Make a job drop, at its end, the locks that `hold` took in it."""

    @functools.wraps(job)
    def held(*args: Given.args, **kwargs: Given.kwargs) -> Result:
        with contextlib.ExitStack() as stack:
            token = _HELD.set(stack)
            try:
                return job(*args, **kwargs)
            finally:
                _HELD.reset(token)

    return held


def hold(folder: Path) -> None:
    """Lock a folder until the job that is decorated with `one_writer` ends; outside of one, not.

    Raises:
        UsageError: another process writes there; the message says who, and since when.
        OSError: the folder cannot be written.
    """
    stack = _HELD.get()
    if stack is not None:
        stack.enter_context(locked(folder))


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder while the body runs; it is made if it is not there, and removed if empty.

    Raises:
        UsageError: another process, or another job of this one, writes there.
        OSError: the folder cannot be written.
    """
    made = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    handle = _taken(path, folder)
    try:
        os.truncate(handle, 0)
        os.pwrite(handle, json.dumps(_owner()).encode(), 0)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(handle)
        with contextlib.suppress(OSError):
            for each in made:
                each.rmdir()


def _taken(path: Path, folder: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = _read(handle)
            os.close(handle)
            raise UsageError(
                f"{folder} is being written by {_described(owner)}; wait for its end, stop it, or "
                "give another -o"
            ) from None
        except OSError as error:
            if error.errno not in NO_LOCKS:
                os.close(handle)
                raise
        # Its last owner may have removed the file between the two calls.
        with contextlib.suppress(FileNotFoundError):
            if os.fstat(handle).st_ino == path.stat().st_ino:
                return handle
        os.close(handle)


def _owner() -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": now}


def _read(handle: int) -> dict[str, Any]:
    try:
        found = json.loads(os.pread(handle, MOST_BYTES, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _described(owner: dict[str, Any]) -> str:
    if not owner:
        return "another process"
    pid, host, since = (one_line(str(owner.get(key, "?"))) for key in ("pid", "host", "since"))
    return f"process {pid} on {host} since {since}"
