"""Keeps figures over time, one column per name, in bounded memory."""

from __future__ import annotations

import collections
import threading
from collections.abc import Mapping

POINTS = 900  # a quarter of an hour at one a second


class Series:
    """Rows of named values over time; the newest POINTS are kept.

    Args:
        names: columns; a value that a row lacks is None.
        points: rows kept.
    """

    def __init__(self, names: tuple[str, ...], points: int = POINTS) -> None:
        self.names = names
        self._rows: collections.deque[tuple[float, tuple[float | None, ...]]] = collections.deque(
            maxlen=points
        )
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return how many rows are kept."""
        return len(self._rows)

    def add(self, at_s: float, values: Mapping[str, float | None]) -> None:
        """Add one row; a viewer gives its time back to ask for what came after it."""
        with self._lock:
            self._rows.append(
                (round(at_s, 2), tuple(_short(values.get(name)) for name in self.names))
            )

    def since(self, at_s: float) -> dict[str, list[float | None]]:
        """Return the rows after a time as columns, `t` in seconds among them."""
        with self._lock:
            rows = [row for row in self._rows if row[0] > at_s]
        columns: dict[str, list[float | None]] = {"t": [at for at, _ in rows]}
        for i, name in enumerate(self.names):
            columns[name] = [values[i] for _, values in rows]
        return columns


def _short(value: float | None) -> float | None:
    """Five digits are more than a chart shows and a third of the bytes."""
    return None if value is None else float(f"{value:.5g}")
