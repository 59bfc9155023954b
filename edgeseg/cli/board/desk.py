"""The desk's end of runs on boards: one thread a board, its words on the terminal, Ctrl-C."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from edgeseg.cli.board.places import desk
from edgeseg.cli.common.output import relay, say
from edgeseg.errors import EdgesegError
from edgeseg.runtime.remote.boards import Board
from edgeseg.runtime.remote.job import Listener, Session

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Result = TypeVar("Result")
WAIT_S = 0.2


class Terminal:
    """Where one board's words go: its results to standard output, all else to standard error.

    A bar shows while nothing else is printed; with several boards there is none, and each line
    bears the board's name.
    """

    def __init__(self, name: str, *, alone: bool, quiet: bool = False) -> None:
        """Print nothing yet.

        Args:
            name: the board's.
            alone: whether it is the only one.
            quiet: keep standard output back; the caller has it in the result.
        """
        self._name, self._alone, self._quiet = name, alone, quiet
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def listener(self) -> Listener:
        """Return what a Session calls."""
        return Listener(self._say, self._out, self._err, self._progress)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
        self._bar = None

    def _say(self, message: str) -> None:
        self.close()
        say(message)

    def _out(self, line: str) -> None:
        self.close()
        if not self._quiet:
            relay(line, sys.stdout)
            sys.stdout.flush()

    def _err(self, line: str) -> None:
        self.close()
        relay(line if self._alone else f"{self._name}: {line}", sys.stderr)
        sys.stderr.flush()

    def _progress(self, done: float, total: float, what: str) -> None:
        if not self._alone or not sys.stderr.isatty():
            return
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TaskProgressColumn, TextColumn
            from rich.progress import Progress as RichProgress

            # Standard output may be a file: rich must not take it for its own.
            self._bar = RichProgress(
                TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(),
                console=Console(stderr=True), transient=True,
                redirect_stdout=False, redirect_stderr=False,
            )  # fmt: skip
            self._task = self._bar.add_task("")
            self._bar.start()
        assert self._task is not None
        self._bar.update(
            self._task, description=f"{self._name}: {what}", completed=done, total=total or None
        )


class _Worker(threading.Thread, Generic[Result]):
    def __init__(
        self, board: Board, terminal: Terminal, action: Callable[[Session], Result]
    ) -> None:
        super().__init__(name=f"edgeseg-on-{board.name}")
        self.session = Session(board, terminal.listener(), desk=desk())
        self.result: Result | None = None
        self.error: BaseException | None = None
        # Ctrl-C in Thread.join makes Python 3.10 to 3.12 take the thread for ended.
        self.ended = threading.Event()
        self._action, self._terminal = action, terminal

    def run(self) -> None:
        try:
            self.result = self._action(self.session)
        except BaseException as error:
            self.error = error
        finally:
            self._terminal.close()
            self.ended.set()


def on_boards(
    boards: Sequence[Board], action: Callable[[Session], Result], *, quiet: bool = False
) -> list[Result | EdgesegError]:
    """Do something on every board at once and return what it returned, in their order.

    Ctrl-C asks what runs there to end and waits for it; a second one ends it at once.

    Args:
        boards: the boards.
        action: what to do, in a thread of its own.
        quiet: print nothing of the verb's standard output.

    Returns:
        Of each board the result, or with several boards the error.

    Raises:
        EdgesegError: there is one board and it failed.
        KeyboardInterrupt: Ctrl-C came before anything ran.
    """
    alone = len(boards) == 1
    workers = [
        _Worker(board, Terminal(board.name, alone=alone, quiet=quiet), action) for board in boards
    ]
    for worker in workers:
        worker.start()
    interrupts = 0
    while not all(worker.ended.is_set() for worker in workers):
        try:
            for worker in workers:
                worker.ended.wait(WAIT_S)
        except KeyboardInterrupt:
            interrupts += 1
            names = ", ".join(board.name for board in boards)
            say(
                f"edgeseg: ending what runs on {names}; Ctrl-C again ends it at once"
                if interrupts == 1
                else f"edgeseg: ending it at once on {names}"
            )
            for worker in workers:
                _interrupt(worker.session)
    found: list[Result | EdgesegError] = []
    for worker in workers:
        if worker.error is None:
            assert worker.result is not None or worker.error is None
            found.append(worker.result)  # type: ignore[arg-type]
        elif alone or not isinstance(worker.error, EdgesegError):
            raise worker.error
        else:
            say(f"edgeseg: error: {worker.error}")
            found.append(worker.error)
    return found


def _interrupt(session: Session) -> None:
    """Ask a session's job to end, without waiting here: Ctrl-C may come again."""

    def ask() -> None:
        with contextlib.suppress(EdgesegError):
            session.interrupt()

    threading.Thread(target=ask, name="edgeseg-on-interrupt", daemon=True).start()


def worst(codes: Sequence[Any]) -> int:
    """Return the first exit code that is not 0."""
    return next((int(code) for code in codes if code), 0)
