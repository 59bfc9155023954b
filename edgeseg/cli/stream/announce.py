"""Says what happens to the cameras of `edgeseg stream` while they run."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.cli.common.output import say

if TYPE_CHECKING:
    from edgeseg.runtime.sources.base import Source
    from edgeseg.runtime.streaming.loop import LoopResult

WATCH_S = 0.25
JOIN_S = 10.0
# A container's own count of frames may be an estimate, so a video of this share of it is whole.
WHOLE = 0.9


def say_cut(sources: Sequence[Source], results: Sequence[LoopResult]) -> None:
    """Say which files ended long before their end: decoders take a cut file for a short one."""
    for source, result in zip(sources, results, strict=True):
        n, length = result.report.frames, source.length
        ended = result.report.run["ended_by"] == "end"
        if ended and not source.live and length is not None and n < WHOLE * length:
            say(
                f"{source.uri} gave {n} of the {length} frames it promises; it may have been cut "
                "off or damaged, look whether the copy is whole"
            )


@contextlib.contextmanager
def announced(sources: Sequence[Source]) -> Iterator[None]:
    """Say on standard error what labels hold, and when a camera changes its state."""
    for source in sources:
        for text in source.notes:
            say(text)
    ended = threading.Event()
    cameras = [source for source in sources if source.state is not None]

    def watch() -> None:
        seen: list[tuple[Any, ...]] = [() for _ in cameras]
        over = False
        while not over:
            over = ended.wait(WATCH_S)
            for number, camera in enumerate(cameras):
                events = tuple(camera.events)
                for event in [event for event in events if event not in seen[number]]:
                    at = f"after {event.at_s:.1f} s"
                    say(f"{camera.uri}: {event.state.value} {at}, {event.reason}")
                seen[number] = events

    thread = threading.Thread(target=watch, name="edgeseg-announce")
    if cameras:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if cameras:
            thread.join(JOIN_S)
