"""Replays a file source: over and over, or as a live camera of a fixed rate."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable

from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, Source
from edgeseg.runtime.sources.live import LiveSource


class PacedSource(LiveSource):
    """Frame i arrives i/fps seconds after the first, whether anyone is ready for it or not.

    A frame is decoded before it is due; if decoding is slower than the pace, it arrives late.
    """

    def __init__(self, inner: Source, fps: float, clock: Callable[[], int]) -> None:
        """Take over `inner`; closing this closes it."""
        super().__init__(inner.uri)
        self._inner = inner
        self._clock = clock
        self._start_ns = 0
        self._period_ns = 1e9 / fps
        self.fps = fps
        self.labelled = inner.labelled
        self.notes = inner.notes
        self.length = inner.length

    def fetch(self, stop: threading.Event) -> Frame | Ending:
        """Decode the next frame and hold it back until it is due."""
        found = self._inner.read(timeout_s=0.1)
        if isinstance(found, Outcome):
            return found
        if found.index == 0:
            self._start_ns = self._clock()
        due_ns = self._start_ns + round(found.index * self._period_ns)
        wait_ns = due_ns - self._clock()
        if wait_ns > 0 and stop.wait(wait_ns / 1e9):
            return Outcome.END
        # It was decoded before it was due: that is no part of its latency.
        return dataclasses.replace(
            found,
            captured_ns=self._clock(),
            capture_took_ns=0,
            media_s=found.index * self._period_ns / 1e9,
        )

    def release(self) -> None:
        """Close the replayed source."""
        self._inner.close()


class RepeatedSource(Source):
    """The frames of a file source over and over, numbered on.

    Args:
        open_inner: opens the source; called again at each end.
    """

    def __init__(self, open_inner: Callable[[], Source]) -> None:
        self._open = open_inner
        self._inner: Source | None = open_inner()
        self.uri = self._inner.uri
        self.labelled = self._inner.labelled
        self.notes = self._inner.notes
        self.fps = self._inner.fps
        self._next = 0
        self._fruitful = False

    def read(self, timeout_s: float) -> Frame | Ending:
        """Give the next frame; END only when the source is empty or closed."""
        if self._inner is None:
            return Outcome.END
        found = self._inner.read(timeout_s)
        if found is Outcome.END and self._fruitful:
            self._inner.close()
            self._inner = self._open()
            self._fruitful = False
            found = self._inner.read(timeout_s)
        if isinstance(found, Outcome):
            return found
        self._fruitful = True
        frame = dataclasses.replace(found, index=self._next)
        self._next += 1
        return frame

    def close(self) -> None:
        """Close the source."""
        if self._inner is not None:
            self._inner.close()
            self._inner = None
