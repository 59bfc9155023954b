"""Keeps a run's log of problems, in bounded memory."""

from __future__ import annotations

import collections
import dataclasses
import threading
from typing import Any

NEWEST = 200


@dataclasses.dataclass
class Event:
    """One line of the log.

    Attributes:
        number: counts up and never changes; a line that grows keeps it.
        at_s: when it began, seconds since the page was opened.
        until_s: when it was last seen.
        kind: "drop", "source", "alarm", "over" (the alarm ended) or "throttle".
        camera: which source; None for the machine.
        text: what happened, without credentials.
        count: how often, e.g. dropped frames.
    """

    number: int
    at_s: float
    until_s: float
    kind: str
    camera: int | None
    text: str
    count: int = 1


class EventLog:
    """Collects events; equal ones that follow each other closely become one line.

    Args:
        newest: lines kept.
    """

    def __init__(self, newest: int = NEWEST) -> None:
        self._lines: collections.deque[Event] = collections.deque(maxlen=newest)
        self._number = 0
        self._lock = threading.Lock()

    def add(
        self,
        at_s: float,
        kind: str,
        camera: int | None,
        text: str,
        *,
        count: int = 1,
        within_s: float = 0,
    ) -> None:
        """Add an event, or count it onto the line of the same kind, camera and text.

        Args:
            at_s: now.
            kind: "drop", "source", "alarm", "over" (the alarm ended) or "throttle".
            camera: which source; None for the machine.
            text: what happened.
            count: how often.
            within_s: a line last seen no longer ago than this grows instead of a new one.
        """
        with self._lock:
            for line in reversed(self._lines):
                same = (line.kind, line.camera, line.text) == (kind, camera, text)
                if same and at_s - line.until_s <= within_s:
                    line.count += count
                    line.until_s = at_s
                    return
            self._number += 1
            self._lines.append(Event(self._number, at_s, at_s, kind, camera, text, count))

    def to_json(self) -> list[dict[str, Any]]:
        """Return the lines, newest first."""
        with self._lock:
            return [dataclasses.asdict(line) for line in reversed(self._lines)]
