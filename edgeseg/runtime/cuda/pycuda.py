"""Cuda over PyCUDA, for boards whose image has it and not cuda-python."""

from __future__ import annotations

import atexit
import contextlib
import functools
import importlib.metadata
from collections.abc import Iterator
from typing import Any

import numpy as np
import pycuda.driver as driver
from jaxtyping import UInt8

from edgeseg.errors import BackendError

# CU_STREAM_NON_BLOCKING of cuda.h, which PyCUDA does not name: waits for no default stream.
NON_BLOCKING = 1


class PyCuda:
    """The primary context of device 0, the one that TensorRT uses.

    PyCUDA binds a context to a thread, so each call makes it current and leaves it again.
    PyCUDA cannot record graphs.
    """

    can_capture = False

    def __init__(self) -> None:
        """Take the primary context."""
        self.name = f"pycuda {importlib.metadata.version('pycuda')}"
        # PyCUDA frees an object that is no longer referenced, so each handle's object is kept here.
        self._held: dict[int, Any] = {}
        with _errors():
            self._context = _primary_context()

    def allocate(self, size: int) -> int:
        """Return the address of device memory."""
        with self._current():
            return self._hold(driver.mem_alloc(size))

    def free(self, address: int) -> None:
        """Give device memory back."""
        with self._current():
            self._held.pop(address).free()

    def allocate_pinned(self, shape: tuple[int, ...]) -> UInt8[np.ndarray, ...]:
        """Return a page-locked array."""
        with self._current():
            array: UInt8[np.ndarray, ...] = driver.pagelocked_empty(shape, np.uint8)
            return array

    def free_pinned(self, array: np.ndarray) -> None:
        """Give a page-locked array back."""
        with self._current():
            pinned: Any = array.base
            pinned.free()

    def copy_in(self, address: int, source: np.ndarray, stream: int) -> None:
        """Queue a copy to the device."""
        with self._current():
            driver.memcpy_htod_async(address, source, self._held[stream])

    def copy_out(self, target: np.ndarray, address: int, stream: int) -> None:
        """Queue a copy from the device."""
        with self._current():
            driver.memcpy_dtoh_async(target, address, self._held[stream])

    def create_stream(self) -> int:
        """Return a new stream."""
        with self._current():
            stream = driver.Stream(NON_BLOCKING)
            self._held[stream.handle] = stream
            return int(stream.handle)

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        with self._current():
            del self._held[stream]

    def synchronize(self, stream: int) -> None:
        """Wait for a stream."""
        with self._current():
            self._held[stream].synchronize()

    def create_event(self) -> int:
        """Return a new event."""
        with self._current():
            event = driver.Event(driver.event_flags.DISABLE_TIMING)
            self._held[id(event)] = event
            return id(event)

    def destroy_event(self, event: int) -> None:
        """Give an event back."""
        with self._current():
            del self._held[event]

    def record(self, event: int, stream: int) -> None:
        """Queue an event."""
        with self._current():
            self._held[event].record(self._held[stream])

    def wait(self, stream: int, event: int) -> None:
        """Hold a stream until an event."""
        with self._current():
            self._held[stream].wait_for_event(self._held[event])

    def wait_for(self, event: int) -> None:
        """Wait for an event."""
        with self._current():
            self._held[event].synchronize()

    def begin_capture(self, stream: int) -> None:
        """Refuse: PyCUDA has no graphs."""
        raise BackendError("pycuda cannot record CUDA graphs; pip install cuda-python")

    def end_capture(self, stream: int) -> int:
        """Refuse: PyCUDA has no graphs."""
        raise BackendError("pycuda cannot record CUDA graphs; pip install cuda-python")

    def launch(self, graph: int, stream: int) -> None:
        """Refuse: PyCUDA has no graphs."""
        raise BackendError("pycuda cannot launch CUDA graphs; pip install cuda-python")

    def destroy_graph(self, graph: int) -> None:
        """Do nothing: there is none."""

    def close(self) -> None:
        """Give back what is still held; the primary context belongs to the process."""
        with self._current():
            self._held.clear()

    def _hold(self, allocation: Any) -> int:
        address = int(allocation)
        self._held[address] = allocation
        return address

    @contextlib.contextmanager
    def _current(self) -> Iterator[None]:
        with _errors():
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()


@functools.cache
def _primary_context() -> Any:
    """Retain the primary context, once and until the process ends.

    PyCUDA's detach() of a primary context leaves it current on the thread, released. Without one
    PyCUDA ends it at exit as a context of its own, and complains.
    """
    driver.init()
    context = driver.Device(0).retain_primary_context()
    atexit.register(context.detach)
    return context


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    try:
        yield
    except driver.Error as error:
        raise BackendError(f"pycuda: {error}") from error
