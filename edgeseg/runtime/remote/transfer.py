"""Files between the desk and a board: rsync, resumed where the line broke, compared by hash."""

from __future__ import annotations

import os
import re
import select
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from edgeseg.errors import BackendUnavailable, BoardError, UsageError
from edgeseg.runtime.remote import agent
from edgeseg.runtime.remote.boards import Board
from edgeseg.runtime.remote.calls import Patience, call
from edgeseg.runtime.remote.ssh import SSH_FAILED, LineError, failure, ssh_options

Progress = Callable[[float, float, str], None]
# rsync's exit codes that mean the line: socket, protocol stream, timeouts, a signal, ssh's own.
LINE_CODES = (5, 10, 12, 30, 35, SSH_FAILED)
POLL_S = 0.2
SHARE = re.compile(rb"(\d+)%")
# Kept free beside what is copied: logs, engines, reports.
SPARE_BYTES = 64 << 20


class DiskFullError(BoardError):
    """A disk filled up during a copy."""


def sent_name(path: Path) -> str:
    """Return the name under which a file or folder arrives.

    Raises:
        UsageError: there is nothing, or it is the root folder.
    """
    whole = path.resolve()
    if not whole.exists():
        raise UsageError(f"{path} does not exist; give a file or folder")
    if not whole.name:
        raise UsageError(f"{path} is the root folder; give a folder with the data alone")
    return whole.name


def push(
    board: Board,
    folder: str,
    path: Path,
    *,
    free: int,
    patience: Patience,
    progress: Progress,
    place: str = "",
) -> str:
    """Copy a file or folder to the board unless it is there already; return its path there.

    Args:
        board: where to.
        folder: edgeseg's folder there.
        path: what to copy; links are followed.
        free: bytes free on that disk.
        patience: tries again while the line is broken.
        progress: gets (done, total, what) of the transfer, in bytes.
        place: folder under `folder`; one named by the content where it is empty.

    Raises:
        UsageError: `path` does not exist or cannot be read.
        BoardError: the board's disk is full, or the line stays broken.
    """
    name = sent_name(path)
    whole = path.resolve()
    try:
        wanted = agent.tree_digest(whole)
        size = sum(place.stat().st_size for _, place in agent.tree_files(whole))
    except OSError as error:
        raise UsageError(f"{error.filename or path} cannot be read: {error.strerror}") from error
    place = place or f"files/{wanted[:32]}"
    there = f"{folder}/{place}/{name}"

    def held() -> bool:
        found = call(board, "digest", path=f"{place}/{name}")["digest"]
        return bool(found == wanted)

    if patience.run(held):
        return there
    if size + SPARE_BYTES > free:
        raise BoardError(
            f"{board.name}: the disk with {folder} has {free / 1e6:.0f} MB free, {path} needs "
            f"{size / 1e6:.0f} MB and room to work; free some, or edgeseg board add with --folder "
            "on another disk"
        )
    places = ["--delete", str(whole), f"{board.rsync_target}:{folder}/{place}/"]

    def copied(*more: str) -> bool:
        try:
            patience.run(
                lambda: _rsync(
                    board,
                    [*more, *places],
                    patience.asked,
                    lambda part: progress(part * size, size, name),
                )
            )
        except DiskFullError:
            # Half a file would keep the disk full.
            call(board, "forget", path=place)
            raise
        return patience.run(held)

    # Equal size and time but other bytes: rsync looks closer only if it is asked to.
    if copied() or copied("--checksum"):
        return there
    raise BoardError(f"{path} is not on {board.name} as it is here; did it change on the way?")


def pull(board: Board, there: str, into: Path, name: str, patience: Patience) -> list[Path]:
    """Bring the contents of a folder of the board, move them into place, and return what came.

    Args:
        board: where from.
        there: the folder, whole path.
        into: local folder that receives what it holds.
        name: tells apart the temporary folders of several results.
        patience: tries again while the line is broken.
    """
    into.mkdir(parents=True, exist_ok=True)
    temporary = into / f".edgeseg-{name}.partial"
    command = [f"{board.rsync_target}:{there}/", f"{temporary}/"]
    patience.run(lambda: _rsync(board, command, threading.Event(), lambda share: None))
    came = sorted(into / place.name for place in temporary.iterdir())
    for held, place in agent.tree_files(temporary):
        (into / held).parent.mkdir(parents=True, exist_ok=True)
        place.replace(into / held)
    shutil.rmtree(temporary, ignore_errors=True)
    return came


def _rsync(
    board: Board,
    places: Sequence[str],
    asked: threading.Event,
    progress: Callable[[float], None],
) -> None:
    program = shutil.which("rsync")
    if program is None:
        raise BackendUnavailable("rsync is not installed here; sudo apt-get install rsync")
    command = [
        program,
        "-rtL",
        # The shell there splits nothing of what it is given.
        "--protect-args",
        f"--partial-dir={agent.PARTIAL}",
        "--info=progress2",
        "--timeout=60",
        "-e",
        shlex.join(ssh_options(board)),
        *places,
    ]
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=said,
            start_new_session=True,
        )
        assert process.stdout is not None
        try:
            with process.stdout as stream:
                while True:
                    if asked.is_set():
                        raise BoardError(f"the copy to {board.name} was ended; it can be resumed")
                    if not select.select([stream], [], [], POLL_S)[0]:
                        continue
                    block = os.read(stream.fileno(), 4096)
                    if not block:
                        break
                    shares = SHARE.findall(block)
                    if shares:
                        progress(int(shares[-1]) / 100)
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
        said.seek(0)
        text = said.read().decode(errors="replace")
    if code:
        raise _rsync_failure(board, code, text)


def _rsync_failure(board: Board, code: int, text: str) -> BoardError:
    last = " ".join(text.split())
    if "No space left" in text or "quota exceeded" in text:
        return DiskFullError(
            f"{board.name}: the disk is full, here or there; free some space and type the command "
            f"again ({last[:200]})"
        )
    if re.search(r"rsync: .*not found|command not found", text):
        return BoardError(f"{board.name} has no rsync; type there: sudo apt-get install rsync")
    if code in LINE_CODES:
        found = failure(board, text)
        # An rsync that was cut may end before ssh says why.
        if code == SSH_FAILED or isinstance(found, LineError):
            return found
        if "ssh to" in str(found):
            return LineError(f"{board.name}: rsync was cut ({last[:200]})")
        return found
    return BoardError(f"rsync with {board.name} failed with code {code}: {last[:300]}")
