"""What a job that takes long tells its caller: a callback gets a Progress at every step."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable


@dataclasses.dataclass(frozen=True)
class Progress:
    """One report of a running job.

    Attributes:
        stage: what is being done, in a word or two, such as "train" or "score"; "" for a message
            that belongs to no stage.
        done: how much of the stage is done.
        total: how much there is; None where that is not known.
        note: figures of the moment, such as the loss.
        message: one line for the reader, or "".
        detail: the message repeats what a progress bar shows; a caller that shows bars may leave
            it out.
    """

    stage: str = ""
    done: int | float = 0
    total: int | float | None = None
    note: str = ""
    message: str = ""
    detail: bool = False


ProgressCallback = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Show nothing: the callback of who asks for none."""


def tell(progress: ProgressCallback, message: str) -> None:
    """Send one line for the reader."""
    progress(Progress(message=message))


def counted(
    progress: ProgressCallback, stage: str, total: int | float | None = None
) -> Callable[[int | float], None]:
    """Return a function that reports how much of a stage is done, for calls that only count."""

    def report(done: int | float) -> None:
        progress(Progress(stage, done, total))

    return report
