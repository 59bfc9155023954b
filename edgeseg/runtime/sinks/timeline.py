"""Timeline: where a frame stands in a video of one rate."""

from __future__ import annotations

from edgeseg.runtime.sources.base import Frame

# Longest scene time that one picture stands for. A longer pause is shown as one of this length.
HOLD_S = 10.0
# A time that goes back by more is a clock that began anew.
BACK_S = 0.5


class Timeline:
    """Places frames on the slots of a constant rate, by their time in the video or camera.

    A frame without a time follows the one before, after one slot for each frame dropped between.

    Args:
        fps: slots per second.
    """

    def __init__(self, fps: float) -> None:
        self._fps = fps
        self._next = 0
        self._zero_s: float | None = None
        self._last_s = 0.0

    def missing(self, frame: Frame) -> int:
        """Return how many slots lie between the last written one and this frame's."""
        most = round(HOLD_S * self._fps)
        if frame.media_s is None:
            return min(frame.dropped_before, most)
        dropped = min(frame.dropped_before, most)
        if self._zero_s is None or frame.media_s < self._last_s - BACK_S:
            self._zero_s = frame.media_s - (self._next + dropped) / self._fps
        self._last_s = frame.media_s
        missing = round((frame.media_s - self._zero_s) * self._fps) - self._next
        if missing > most:
            self._zero_s += (missing - most) / self._fps
            missing = most
        return max(0, missing)

    def wrote(self, n: int = 1) -> None:
        """Count slots that were written."""
        self._next += n
