"""Rate: measures frames per second and inference time over a run, and their drift."""

from __future__ import annotations

from typing import Any

WINDOW_NS = 1_000_000_000
MOST_WINDOWS = 120
FEWEST_WINDOWS = 5
BURST_NS = 10_000_000_000
SUSTAINED_SHARE = 0.2


class Rate:
    """Counts frames in windows of equal length from the first finished frame on.

    Memory is bounded: when there are MOST_WINDOWS, neighbours are joined and windows become twice
    as long.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._window_ns = WINDOW_NS
        self._begin_ns: int | None = None
        self._counts: list[int] = []
        self._infer_ns: list[int] = []
        self._last_ns = 0

    def add(self, end_ns: int, infer_ns: int) -> None:
        """Count one finished frame."""
        self._last_ns = end_ns
        if self._begin_ns is None:
            # The first frame starts the clock; n windows then hold n windows' worth of gaps.
            self._begin_ns = end_ns
            return
        at = (end_ns - self._begin_ns) // self._window_ns
        while at >= MOST_WINDOWS:
            self._counts = _joined(self._counts)
            self._infer_ns = _joined(self._infer_ns)
            self._window_ns *= 2
            at = (end_ns - self._begin_ns) // self._window_ns
        missing = at + 1 - len(self._counts)
        self._counts += [0] * missing
        self._infer_ns += [0] * missing
        self._counts[at] += 1
        self._infer_ns[at] += infer_ns

    def to_json(self) -> dict[str, Any] | None:
        """Return the series and burst against sustained; None for a run of less than 5 windows.

        `burst` is the first 10 s, or the first window where windows are longer; `sustained` the
        last fifth of the run. A drift is sustained / burst - 1: a board that throttles has a
        negative `fps_drift` or, where a camera sets the rate, a positive `infer_drift`.
        """
        if self._begin_ns is None:
            return None
        # The last window is not over.
        full = (self._last_ns - self._begin_ns) // self._window_ns
        if full < FEWEST_WINDOWS:
            return None
        counts, infer = self._counts[:full], self._infer_ns[:full]
        early = min(max(1, BURST_NS // self._window_ns), full // 2)
        late = max(1, round(full * SUSTAINED_SHARE))
        burst = self._mean(counts[:early], infer[:early])
        sustained = self._mean(counts[-late:], infer[-late:])
        each = [self._mean(counts[i : i + 1], infer[i : i + 1]) for i in range(full)]
        return {
            "window_s": self._window_ns / 1e9,
            "fps": [round(fps, 3) for fps, _ in each],
            "infer_ms": [None if ms is None else round(ms, 3) for _, ms in each],
            "seconds": (self._last_ns - self._begin_ns) / 1e9,
            "burst_fps": burst[0],
            "sustained_fps": sustained[0],
            "fps_drift": _drift(sustained[0], burst[0]),
            "burst_infer_ms": burst[1],
            "sustained_infer_ms": sustained[1],
            "infer_drift": _drift(sustained[1], burst[1]),
        }

    def _mean(self, counts: list[int], infer_ns: list[int]) -> tuple[float, float | None]:
        frames = sum(counts)
        fps = frames * 1e9 / (len(counts) * self._window_ns)
        return fps, sum(infer_ns) / frames / 1e6 if frames else None


def _joined(values: list[int]) -> list[int]:
    return [sum(values[i : i + 2]) for i in range(0, len(values), 2)]


def _drift(late: float | None, early: float | None) -> float | None:
    return late / early - 1 if late is not None and early else None
