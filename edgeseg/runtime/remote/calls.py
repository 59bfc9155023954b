"""Calls of the agent, the program that `agent.py` is, on a board."""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from edgeseg.errors import BoardError
from edgeseg.runtime.remote.boards import Board
from edgeseg.runtime.remote.ssh import SSH_FAILED, LineError, failure, open_ssh

AGENT = (Path(__file__).parent / "agent.py").read_bytes()
ANSWER, FRAME = b"edgeseg-answer ", b"edgeseg-frame "
OLD = "edgeseg-python "
NO_PROGRAM = 127
# The version comes first: older Pythons cannot even read the rest.
BOOT = (
    "import sys;v=sys.version_info[:2];v>=(3,10) or sys.exit('edgeseg-python %d.%d'%v);"
    "S=sys.stdin.read();"
    "exec(compile(S,'edgeseg-agent','exec'),{'__name__':'__main__','SOURCE':S})"
)
WAITS_S = (1.0, 2.0, 4.0, 8.0, 15.0)
Say = Callable[[str], None]
Result = TypeVar("Result")


def call(board: Board, do: str, **request: Any) -> dict[str, Any]:
    """Return the agent's answer to one request.

    Raises:
        LineError: the line broke, or the board is not reachable.
        BoardError: the board refuses, or could not do it.
    """
    process = open_ssh(board, _words(board, do, request))
    try:
        out, err = process.communicate(AGENT)
    except BaseException:
        process.kill()
        process.wait()
        raise
    text = err.decode(errors="replace")
    answers = [line[len(ANSWER) :] for line in out.splitlines() if line.startswith(ANSWER)]
    if not answers:
        raise _no_answer(board, process.returncode, text)
    answer: dict[str, Any] = json.loads(answers[-1])
    if "error" in answer:
        raise BoardError(f"{board.name}: {answer['error']}")
    return answer


@dataclasses.dataclass(frozen=True)
class Patience:
    """Tries again while the line is broken.

    Attributes:
        board: the board at the other end.
        seconds: how long a line may stay broken.
        say: told when the line breaks.
        asked: set when the user asks to end.
    """

    board: Board
    seconds: float
    say: Say
    asked: threading.Event

    def run(self, action: Callable[[], Result], heard: Callable[[], int] = lambda: 0) -> Result:
        """Return what `action` returns.

        Args:
            action: raises LineError when the line breaks.
            heard: counts what came from the board; when it grew, the patience begins anew.

        Raises:
            LineError: the line stayed broken for so long, or while the user asked to end.
        """
        broke, tries, before = 0.0, 0, heard()
        while True:
            try:
                return action()
            except LineError as error:
                now = time.monotonic()
                if heard() != before:
                    tries, before = 0, heard()
                if tries == 0:
                    broke = now
                    self.say(f"{self.board.name}: the line broke, trying again: {error}")
                wait = WAITS_S[min(tries, len(WAITS_S) - 1)]
                if now - broke + wait > self.seconds or self.asked.wait(wait):
                    raise
                tries += 1


def frames(board: Board, job: str, offsets: Mapping[str, int]) -> Iterator[tuple[str, bytes]]:
    """Yield what a job prints after the offsets, as ("out" or "err", bytes), then ("end", JSON).

    A ("tick", b"") comes every few seconds in which it prints nothing.

    Raises:
        LineError: the line broke before the end.
        BoardError: the board refuses.
    """
    process = open_ssh(board, _words(board, "tail", {"job": job, **offsets}))
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    ended = False
    try:
        with process.stdin as stream:
            stream.write(AGENT)
        for line in process.stdout:
            # What a login shell prints stands before the first frame.
            if not line.startswith(FRAME):
                continue
            kind, size = line[len(FRAME) :].split()
            data = process.stdout.read(int(size))
            if len(data) < int(size):
                break
            name = kind.decode()
            ended = name == "end"
            yield name, data
            if ended:
                return
    except BrokenPipeError:
        pass
    finally:
        if ended:
            process.wait()
        else:
            process.kill()
        with process.stdout, process.stderr:
            said = process.stderr.read()
            process.wait()
    text = said.decode(errors="replace")
    if process.returncode in (SSH_FAILED, -9):
        raise failure(board, text or "Connection closed")
    raise LineError(f"{board.name}: the line broke ({' '.join(text.split())[:200] or 'no word'})")


def _words(board: Board, do: str, request: Mapping[str, Any]) -> list[str]:
    document = {"do": do, "folder": board.folder, **request}
    return ["python3", "-I", "-c", BOOT, json.dumps(document)]


def _no_answer(board: Board, code: int, text: str) -> BoardError:
    if code == SSH_FAILED:
        return failure(board, text)
    if OLD in text:
        found = text.split(OLD)[1].split()[0]
        return BoardError(
            f"{board.name} has Python {found}; edgeseg needs 3.10, which JetPack 6 and later have: "
            "flash a newer JetPack"
        )
    if code == NO_PROGRAM:
        return BoardError(
            f"{board.name} has no python3; type there: sudo apt-get install python3-venv"
        )
    if code < 0:
        return LineError(f"{board.name}: ssh was ended by signal {-code}")
    last = text.strip().splitlines()[-1:] or ["no word"]
    return BoardError(f"{board.name}: the answer is missing; its last line: {last[0][:300]}")
