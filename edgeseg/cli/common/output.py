"""What the command line prints: results on standard output, all else on standard error."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from edgeseg.core.progress import Progress as JobProgress
from edgeseg.core.progress import ProgressCallback
from edgeseg.core.text.names import one_line, printable
from edgeseg.core.text.redact import redact

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle

Item = TypeVar("Item")
# Seconds between two lines of progress.
LINES_S = 0.5


def say(message: str) -> None:
    """Print one line for the person at the terminal, on standard error."""
    print(one_line(redact(message)), file=sys.stderr, flush=True)


def answer(text: str) -> None:
    """Print one line of a verb's result on standard output."""
    print(one_line(redact(text)))


def relay(text: str, stream: TextIO) -> None:
    """Write what a board said; its line feeds stay, nothing in it steers this terminal."""
    stream.write(printable(text))


def print_json(document: Mapping[str, Any]) -> None:
    """Print the one JSON document of a command on standard output."""
    json.dump(document, sys.stdout, indent=2, allow_nan=False)
    sys.stdout.write("\n")


def bundle_json(bundle: Bundle) -> dict[str, str]:
    """Return which bundle a document is about, as a Report names it."""
    return {"name": bundle.name, "sha256": bundle.digest, "precision": bundle.precision}


def print_table(
    columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = ""
) -> None:
    """Print rows as a table on standard output; columns of figures align right."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=one_line(title) or None, title_justify="left", box=box.SIMPLE_HEAD)
    cells = [["-" if cell is None else one_line(str(cell)) for cell in row] for row in rows]
    for index, column in enumerate(columns):
        figures = all(row[index][:1] in "-+0123456789" for row in cells)
        table.add_column(one_line(column), justify="right" if figures else "left", overflow="fold")
    for row in cells:
        table.add_row(*row)
    # A pipe has no width of its own; 80 columns would fold the names apart.
    width = None if sys.stdout.isatty() else 140
    # Cells may hold brackets, which would be read as styles.
    Console(width=width, markup=False).print(table)


class Progress:
    """One bar on standard error; `update` is what long-running library calls get as a callback."""

    def __init__(self, progress: Any, task: Any) -> None:
        """Wrap a rich progress display and the one task on it."""
        self._progress = progress
        self._task = task

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        """Move the bar to `done` of `total` and show `note` beside it."""
        self._progress.update(self._task, completed=done, total=total, note=one_line(note))


class LineProgress(Progress):
    """Progress as lines of JSON on standard error, for `edgeseg on`, which draws the bar."""

    def __init__(self, title: str, total: float | None) -> None:
        """Say that `title` has begun."""
        self._title, self._said = title, 0.0
        self.update(0, total)

    def update(self, done: float, total: float | None = None, note: str = "") -> None:
        """Say how far it is, twice a second at most, and its end."""
        now = time.monotonic()
        if now - self._said < LINES_S and done != total:
            return
        self._said = now
        what = f"{self._title} {note}".strip()
        say(f"edgeseg-progress {json.dumps({'done': done, 'total': total, 'what': what})}")


@contextlib.contextmanager
def progress_bar(title: str, total: float | None = None) -> Iterator[Progress]:
    """Show a progress bar while the body runs; silent where standard error is not a terminal.

    Where EDGESEG_PROGRESS is "lines" it is said in lines of JSON instead.
    """
    if os.environ.get("EDGESEG_PROGRESS") == "lines":
        yield LineProgress(title, total)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    bar = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
        transient=True,
    )
    with bar:
        yield Progress(bar, bar.add_task(one_line(title), total=total, note=""))


@contextlib.contextmanager
def shown() -> Iterator[ProgressCallback]:
    """Show what a job tells: a bar for each stage, a line for each message, on standard error."""
    with contextlib.ExitStack() as stack:
        bars: dict[str, Progress] = {}

        def show(told: JobProgress) -> None:
            if told.message and not (told.detail and sys.stderr.isatty()):
                say(told.message)
            if not told.stage:
                return
            if told.stage not in bars:
                stack.close()
                bars.clear()
                bars[told.stage] = stack.enter_context(progress_bar(told.stage))
            bars[told.stage].update(told.done, told.total, told.note)

        yield show


def track(items: Iterable[Item], title: str, total: int | None = None) -> Iterator[Item]:
    """Yield `items` with a progress bar on standard error."""
    with progress_bar(title, total) as bar:
        for index, item in enumerate(items):
            yield item
            bar.update(index + 1, total)


def ratio(value: float | None) -> str | None:
    """Format a 0-1 figure for a table."""
    return None if value is None else f"{value:.4f}"


def megabytes(value: int | float | None) -> str | None:
    """Format bytes for a table."""
    return None if value is None else f"{value / 1e6:.1f} MB"
