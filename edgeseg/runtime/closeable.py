"""Closeable: an object that must be closed, as a context manager."""

from __future__ import annotations

import abc
from types import TracebackType
from typing import TypeVar

_Self = TypeVar("_Self", bound="Closeable")


class Closeable(abc.ABC):
    """Base of backends, sources and sinks: leaving the `with` block closes it."""

    @abc.abstractmethod
    def close(self) -> None:
        """Join every thread and free every buffer; a second call does nothing."""

    def __enter__(self: _Self) -> _Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close, also when the body raised."""
        self.close()
