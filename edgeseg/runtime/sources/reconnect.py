"""ReconnectingSource: reads a camera and opens it again when it breaks or freezes."""

from __future__ import annotations

import collections
import threading
from collections.abc import Callable

from edgeseg.core.text.redact import redact
from edgeseg.errors import EdgesegError
from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, SourceEvent, State
from edgeseg.runtime.sources.device import Device, LiveLimits
from edgeseg.runtime.sources.freshness import Freshness
from edgeseg.runtime.sources.live import LiveSource

EVENTS = 64
# A camera that is behind again so soon after a new connection has a clock not to be believed.
BEHIND_TWICE = 2
BEHIND_AGAIN_NS = 60_000_000_000


class ReconnectingSource(LiveSource):
    """The newest frame of a device that is opened again whenever it breaks.

    The reader thread runs from the start, so that nothing piles up while a model is loaded.

    Args:
        uri: what is opened, without credentials.
        connect: opens the device within so many seconds, or raises.
        limits: how long to wait for what.
        clock: nanoseconds that only go forward.

    Raises:
        EdgesegError: the first opening failed; nothing is left open.
    """

    def __init__(
        self,
        uri: str,
        connect: Callable[[float], Device],
        limits: LiveLimits,
        clock: Callable[[], int],
    ) -> None:
        super().__init__(uri)
        self._connect = connect
        self._limits = limits
        self._clock = clock
        self._index = 0
        self._refused = 0
        self._reconnects = 0
        self._state = State.CONNECTING
        self._events: collections.deque[SourceEvent] = collections.deque(maxlen=EVENTS)
        self._begin_ns = clock()
        self._pause_s = limits.back_off_s
        self._open_s = limits.reopen_s
        self._behind = 0
        self._behind_at_ns = 0
        self._good_ns = clock()
        self._lost_once = False
        self._device: Device | None = None
        self._opened(connect(limits.open_s))
        self.start()

    @property
    def state(self) -> State:  # type: ignore[override]
        """Where the connection stands now."""
        silent_ns = self._clock() - self._good_ns
        if self._state is State.LIVE and silent_ns > self._limits.stale_s * 1e9:
            return State.STALE
        return self._state

    @property
    def events(self) -> tuple[SourceEvent, ...]:  # type: ignore[override]
        """The newest changes of state, oldest first."""
        return tuple(self._events)

    @property
    def refused(self) -> int:  # type: ignore[override]
        """Frames refused because they were stale."""
        return self._refused

    @property
    def reconnects(self) -> int:  # type: ignore[override]
        """Times the lost camera was found again and gave a frame."""
        return self._reconnects

    def fetch(self, stop: threading.Event) -> Frame | Ending:
        """Give the next fresh frame, or take one step towards a working connection."""
        if self._device is None:
            self._reconnect(stop)
            return Outcome.TIMEOUT
        try:
            picture = self._device.grab()
        except Exception as error:
            # Whatever a decoder raises at bad data, the cure is a new connection.
            self._lose(str(error) if isinstance(error, EdgesegError) else repr(error))
            return Outcome.TIMEOUT
        now = self._clock()
        silent_s = (now - self._good_ns) / 1e9
        if picture is None:
            joined = self._state is State.LIVE
            if silent_s > (self._limits.read_s if joined else self._limits.first_s):
                self._lose(f"no good frame for {silent_s:.1f} s")
            return Outcome.TIMEOUT
        media_ns = picture.media_ns if self._behind < BEHIND_TWICE else None
        if not self._fresh.accept(picture.arrived_ns, media_ns):
            self._refused += 1
            if self._fresh.behind_ns(now) > self._limits.behind_s * 1e9:
                again = now - self._behind_at_ns < BEHIND_AGAIN_NS
                self._behind = self._behind + 1 if again else 1
                self._behind_at_ns = now
                self._lose(f"frames stayed more than {self._limits.stale_s:g} s behind")
            return Outcome.TIMEOUT
        self._found(silent_s)
        self._good_ns = now
        own_ns = picture.media_ns
        media_s = None if own_ns is None else own_ns / 1e9
        frame = Frame(
            picture.rgb, self._index, picture.arrived_ns, picture.took_ns, media_s=media_s
        )
        self._index += 1
        return frame

    def release(self) -> None:
        """Close the device."""
        if self._device is not None:
            self._device.close()
            self._device = None

    def _found(self, silent_s: float) -> None:
        if self._state is State.LIVE:
            if silent_s > self._limits.stale_s:
                self._note(State.STALE, f"no frame for {silent_s:.1f} s, then frames again")
            return
        if self._lost_once:
            self._reconnects += 1
        self._state = State.LIVE
        self._pause_s, self._open_s = self._limits.back_off_s, self._limits.reopen_s
        self._note(State.LIVE, "frames arrive")

    def _lose(self, reason: str) -> None:
        # Said before the device is closed, which may take as long as a read.
        self._lost_once = True
        self._state = State.LOST
        self._note(State.LOST, reason)
        self.release()

    def _reconnect(self, stop: threading.Event) -> None:
        if stop.wait(self._pause_s):
            return
        self._pause_s = min(2 * self._pause_s, self._limits.back_off_most_s)
        self._state = State.CONNECTING
        try:
            device = self._connect(self._open_s)
        except Exception as error:
            # A camera that is away answers in many ways; all mean: try again later.
            self._open_s = min(2 * self._open_s, self._limits.open_s)
            self._state = State.LOST
            self._note(State.LOST, str(error))
        else:
            self._opened(device)

    def _opened(self, device: Device) -> None:
        self._device = device
        self.fps = device.fps or self.fps
        self._fresh = Freshness(round(self._limits.stale_s * 1e9), self.fps)
        # A connection that opens and then gives nothing is broken too, after one read's time.
        self._good_ns = self._clock()

    def _note(self, state: State, reason: str) -> None:
        reason = redact(reason)
        # A camera that is away for a night fails thousands of times in the same words.
        if self._events and (self._events[-1].state, self._events[-1].reason) == (state, reason):
            return
        at_s = (self._clock() - self._begin_ns) / 1e9
        self._events.append(SourceEvent(at_s, state, reason))
