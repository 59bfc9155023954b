"""Energy: sums watts over time by the trapezoid rule between samples."""

from __future__ import annotations

from typing import Any

POINTS = 1024
FEWEST = 3  # samples inside a stretch; with less the power of the stretch is mostly guessed


class EnergyCurve:
    """Joules used since the first sample, at the time of each sample.

    Holds at most POINTS points: when it is full every second one is dropped. The sum stays exact,
    because each point holds the joules up to it.

    Args:
        method: what the watts are of; None where there is no sensor.
    """

    def __init__(self, method: str | None) -> None:
        self.method = method
        self._points: list[tuple[int, float]] = []
        self._every = 1
        self._n = 0
        self._last: tuple[int, float] | None = None
        self._joules = 0.0

    def add(self, at_ns: int, watts: float) -> None:
        """Add one sample of the power."""
        if self._last is not None:
            before_ns, before = self._last
            self._joules += (watts + before) / 2 * (at_ns - before_ns) / 1e9
        self._last = (at_ns, watts)
        if self._n % self._every == 0:
            self._points.append((at_ns, self._joules))
        self._n += 1
        if len(self._points) >= POINTS:
            del self._points[1::2]
            self._every *= 2

    def copy(self) -> EnergyCurve:
        """Return a curve that later samples do not change."""
        other = EnergyCurve(self.method)
        other._points = list(self._points)
        if self._last is not None and (not other._points or other._points[-1][0] < self._last[0]):
            other._points.append((self._last[0], self._joules))
        return other

    def joules(self, first_ns: int, last_ns: int) -> float | None:
        """Return the energy between two times; None when too few samples lie between them."""
        inside = [at for at, _ in self._points if first_ns <= at <= last_ns]
        if len(inside) < FEWEST:
            return None
        return self._at(last_ns) - self._at(first_ns)

    def per_frame(self, frames: int, first_ns: int, last_ns: int) -> dict[str, Any] | None:
        """Return joules per frame, mean watts and how they were found; None where unknown.

        Args:
            frames: finished frames; n of them enclose n - 1 gaps.
            first_ns: when the first was finished.
            last_ns: when the last was finished.
        """
        joules = self.joules(first_ns, last_ns) if frames >= 2 and last_ns > first_ns else None
        if joules is None:
            return None
        return {
            "joules_per_frame": joules / (frames - 1),
            "mean_w": joules * 1e9 / (last_ns - first_ns),
            "method": f"{self.method}, summed from the first to the last finished frame",
        }

    def _at(self, at_ns: int) -> float:
        """Return the joules at a time; before and after the samples the nearest power goes on."""
        points = self._points
        i = next((i for i, (at, _) in enumerate(points) if at >= at_ns), len(points) - 1)
        i = max(i, 1)
        (x0, y0), (x1, y1) = points[i - 1], points[i]
        return y0 + (y1 - y0) * (at_ns - x0) / (x1 - x0)
