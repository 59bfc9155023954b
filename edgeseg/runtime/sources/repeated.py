"""A file source that begins again when it ends."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, Source


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
