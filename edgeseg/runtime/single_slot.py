"""SingleSlot: passes one item at a time from one thread to another."""

from __future__ import annotations

import enum
import threading
from typing import Generic, Literal, TypeVar

Item = TypeVar("Item")


class Outcome(enum.Enum):
    """What a wait ended with when it did not end with an item; a failure is raised instead."""

    TIMEOUT = "timeout"
    END = "end"


Ending = Literal[Outcome.TIMEOUT, Outcome.END]


class SingleSlot(Generic[Item]):
    """One item at most between a producer and a consumer.

    Lossless, `put` waits until the consumer took the item before. With `newest`, `put` never
    waits: it replaces an item that nobody took and counts it.

    Args:
        newest: replace instead of wait.
    """

    def __init__(self, *, newest: bool = False) -> None:
        self._newest = newest
        self._items: list[Item] = []
        self._closed = False
        self._error: BaseException | None = None
        self._changed = threading.Condition()
        self.overwritten = 0

    @property
    def closed(self) -> bool:
        """Whether no further item gets in."""
        return self._closed

    def put(self, item: Item, timeout_s: float | None = None) -> bool:
        """Hand an item over.

        Args:
            item: what the consumer gets.
            timeout_s: longest wait for the item before to be taken, None for as long as it lasts.

        Returns:
            False when the item was not taken in: the slot is `closed`, or the time is over.
        """
        with self._changed:
            if self._newest and self._items and not self._closed:
                self._items.clear()
                self.overwritten += 1
            self._changed.wait_for(lambda: not self._items or self._closed, timeout_s)
            if self._closed or self._items:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def get(self, timeout_s: float | None = None) -> Item | Ending:
        """Wait for an item.

        Returns:
            The item, Outcome.TIMEOUT, or Outcome.END once the slot is closed and empty.

        Raises:
            BaseException: the error the slot was closed with, after its last item.
        """
        with self._changed:
            self._changed.wait_for(lambda: bool(self._items) or self._closed, timeout_s)
            if self._items:
                item = self._items.pop()
                self._changed.notify_all()
                return item
            if not self._closed:
                return Outcome.TIMEOUT
            if self._error is not None:
                raise self._error
            return Outcome.END

    def close(self, error: BaseException | None = None, *, discard: bool = False) -> None:
        """Let no further item in; the consumer still gets a waiting one unless `discard`.

        The first error given is the one the consumer gets.
        """
        with self._changed:
            self._closed = True
            if error is not None and self._error is None:
                self._error = error
            if discard:
                self._items.clear()
            self._changed.notify_all()
