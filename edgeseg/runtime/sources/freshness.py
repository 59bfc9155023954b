"""Freshness: decides which pictures of a live camera are too old to show."""

from __future__ import annotations

WINDOW_NS = 30_000_000_000
RESTART_NS = 1_000_000_000
DEFAULT_PERIOD_NS = 33_333_333
GAP_PERIODS = 4


class Freshness:
    """Judges each picture by when it came and, where known, by the camera's own time of it.

    With the camera's time: a picture's lag is its arrival minus its own time, and the smallest lag
    of the last half to whole minute is what the way always takes. A picture that lags more than
    `stale_ns` behind that stood in a buffer: it is refused. The window forgets, so that two clocks
    that drift apart do no harm.
    Without it: the first picture after a gap is refused, since it may have waited on the other side
    of the gap, and so are the ones that follow it faster than the camera can make them. One that
    comes after a second gap is shown: such a camera is slow.

    Args:
        stale_ns: the most a picture may lag, and the shortest gap.
        fps: the camera's rate, None where unknown.
    """

    def __init__(self, stale_ns: int, fps: float | None = None) -> None:
        self._stale_ns = stale_ns
        self._period_ns = round(1e9 / fps) if fps else DEFAULT_PERIOD_NS
        self._gap_ns = max(stale_ns, GAP_PERIODS * self._period_ns)
        self._last_ns: int | None = None
        self._last_media_ns: int | None = None
        self._draining = False
        self._alone = False
        self._window_ns = 0
        self._least: list[int] = []
        self._refused_ns: int | None = None

    def accept(self, arrived_ns: int, media_ns: int | None) -> bool:
        """Return whether a picture is fresh; call it for every one, in order."""
        fresh = self._by_gap(arrived_ns) if media_ns is None else self._by_lag(arrived_ns, media_ns)
        self._last_ns = arrived_ns
        self._last_media_ns = media_ns
        if fresh:
            self._refused_ns = None
        elif self._refused_ns is None:
            self._refused_ns = arrived_ns
        return fresh

    def behind_ns(self, now_ns: int) -> int:
        """Return for how long pictures have been refused without a fresh one between."""
        return 0 if self._refused_ns is None else now_ns - self._refused_ns

    def _by_lag(self, arrived_ns: int, media_ns: int) -> bool:
        if self._last_media_ns is not None and media_ns < self._last_media_ns - RESTART_NS:
            # The camera's clock began anew; old lags mean nothing.
            self._least = []
        lag = arrived_ns - media_ns
        if not self._least:
            self._least, self._window_ns = [lag, lag], arrived_ns
        elif arrived_ns - self._window_ns > WINDOW_NS:
            self._least, self._window_ns = [self._least[1], lag], arrived_ns
        self._least[1] = min(self._least[1], lag)
        return lag - min(self._least) <= self._stale_ns

    def _by_gap(self, arrived_ns: int) -> bool:
        if self._last_ns is None:
            return True
        gap = arrived_ns - self._last_ns
        if gap > self._gap_ns:
            # Only a picture that was refused alone stands between two gaps.
            slow = self._alone
            self._draining, self._alone = True, True
            return slow
        self._alone = False
        if self._draining and gap < self._period_ns // 2:
            return False
        self._draining = False
        return True
