"""Shares one backend fairly between several cameras."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np
from jaxtyping import UInt8

from edgeseg.errors import BackendError, UsageError
from edgeseg.runtime.backends.base import Backend, check_frames
from edgeseg.runtime.closeable import Closeable

# A batch waits this share of the last batch's time for the lanes that are still missing: longer,
# and a slow camera would set the rate of all.
PATIENCE = 0.25


class Lane(Backend):
    """One camera's way to a shared backend; made by SharedBackend.lane.

    Attributes:
        waited_ns: how long the last call waited for its turn.
        batch: frames that go into one call of the shared backend at most.
    """

    def __init__(self, shared: SharedBackend, number: int) -> None:
        """Note whose lane it is."""
        self._shared = shared
        self._number = number
        io = shared.io
        self.io = dataclasses.replace(io, frame_shape=(1, *io.frame_shape[1:]))
        self.memory = shared.memory
        self.batch = io.frame_shape[0]
        self._labels = np.empty(self.io.frame_shape[:3], np.uint8)
        self.waited_ns = 0

    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Wait for the turn, then return one label per pixel."""
        check_frames(frames, self.io)
        self.waited_ns = self._shared.run(self._number, frames, self._labels)
        return self._labels

    def close(self) -> None:
        """Leave the others more turns; may be called while they go on, and again."""
        self._shared.leave(self._number)


class SharedBackend(Closeable):
    """Takes the lanes' frames in turn, or together where the engine takes a batch.

    Fair: a lane is served again only when every lane that was waiting has been, so with n busy
    cameras each gets an nth of the backend, however fast one of them asks.
    With an engine of batch b, up to b lanes go into one call. The call begins when all lanes have a
    frame or after a short patience; rows without one are computed and thrown away.

    Args:
        backend: open; it stays open.
        lanes: number of cameras.
        clock: nanoseconds that only go forward.
    """

    def __init__(
        self, backend: Backend, lanes: int, clock: Callable[[], int] = time.perf_counter_ns
    ) -> None:
        if lanes < 1:
            raise UsageError(f"{lanes} lanes, expected at least 1")
        self._backend = backend
        self._clock = clock
        self.io = backend.io
        self.memory = backend.memory
        self._batch = self.io.frame_shape[0]
        self._frames = np.zeros(self.io.frame_shape, np.uint8)
        self._open = set(range(lanes))
        self._changed = threading.Condition()
        self._waiting: list[_Request] = []
        self._busy = False
        self._took_s = 0.0

    def lane(self, number: int) -> Lane:
        """Return the way of camera `number`, counted from 0."""
        return Lane(self, number)

    def run(self, number: int, frames: np.ndarray, labels: np.ndarray) -> int:
        """Fill `labels` for one lane; returns the nanoseconds it waited for its turn.

        Raises:
            BackendError: the backend failed; the lanes of the same call all get the error.
        """
        request = _Request(number, frames, labels, self._clock())
        with self._changed:
            self._waiting.append(request)
            self._changed.notify_all()
            # First come, first served: who was just served goes to the end of the queue.
            self._changed.wait_for(lambda: request.done or self._is_first(request))
            if not request.done:
                self._gather()
                taken, self._waiting = self._waiting[: self._batch], self._waiting[self._batch :]
                self._busy = True
        if not request.done:
            self._call(taken)
        if request.error is not None:
            raise request.error
        return request.waited_ns

    def leave(self, number: int) -> None:
        """Stop waiting for a lane's frames."""
        with self._changed:
            self._open.discard(number)
            self._changed.notify_all()

    def close(self) -> None:
        """Do nothing: the backend belongs to who opened it."""

    def _is_first(self, request: _Request) -> bool:
        return not self._busy and self._waiting[:1] == [request]

    def _gather(self) -> None:
        wanted = min(self._batch, len(self._open))
        if wanted > 1:
            # Nobody else may begin meanwhile: `_busy` is false, but this request stays the first.
            self._changed.wait_for(
                lambda: len(self._waiting) >= min(wanted, len(self._open)), PATIENCE * self._took_s
            )

    def _call(self, taken: list[_Request]) -> None:
        error: BackendError | None = None
        begin = self._clock()
        try:
            if self._batch == 1:
                found = self._backend.infer(taken[0].frames)
            else:
                for row, request in enumerate(taken):
                    self._frames[row] = request.frames[0]
                found = self._backend.infer(self._frames)
            for row, request in enumerate(taken):
                np.copyto(request.labels[0], found[row])
        except Exception as raised:
            message = f"the backend failed: {raised!r}"
            error = raised if isinstance(raised, BackendError) else BackendError(message)
        with self._changed:
            self._took_s = (self._clock() - begin) / 1e9
            for request in taken:
                request.waited_ns = begin - request.asked_ns
                request.error = error
                request.done = True
            self._busy = False
            self._changed.notify_all()


@dataclasses.dataclass(eq=False)
class _Request:
    number: int
    frames: np.ndarray
    labels: np.ndarray
    asked_ns: int
    waited_ns: int = 0
    done: bool = False
    error: BackendError | None = None
