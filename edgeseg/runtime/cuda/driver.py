"""Cuda over the driver's own library, by ctypes: no package, and no CUDA runtime to match.

A wheel with a CUDA runtime in it, as cuda-python's, may be newer than a board's driver and then
answers error 35 to every call. The driver's API is what the driver itself has.

Source: CUDA Driver API, docs.nvidia.com/cuda/cuda-driver-api; names with _v2 are those that cuda.h
gives to the plain ones since CUDA 4.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Any

import numpy as np
from jaxtyping import UInt8

from edgeseg.errors import BackendError, BackendUnavailable
from edgeseg.runtime.cuda.gpu import CUDA_LIBRARY, DRIVER_CURE

OUT_OF_MEMORY = 2  # CUDA_ERROR_OUT_OF_MEMORY
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: waits for no default stream
DISABLE_TIMING = 2  # CU_EVENT_DISABLE_TIMING
# CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: calls of other threads, such as a camera's, must not end the
# recording.
THREAD_LOCAL = 1

_HANDLE, _ADDRESS, _SIZE = ctypes.c_void_p, ctypes.c_uint64, ctypes.c_size_t
_INTO = ctypes.POINTER(ctypes.c_void_p)
_FLAGS = ctypes.c_uint
SIGNATURES: dict[str, tuple[Any, ...]] = {
    "cuDevicePrimaryCtxRetain": (_INTO, ctypes.c_int),
    "cuCtxSetCurrent": (_HANDLE,),
    "cuMemAlloc_v2": (ctypes.POINTER(_ADDRESS), _SIZE),
    "cuMemFree_v2": (_ADDRESS,),
    "cuMemHostAlloc": (_INTO, _SIZE, _FLAGS),
    "cuMemFreeHost": (_HANDLE,),
    "cuMemcpyHtoDAsync_v2": (_ADDRESS, _HANDLE, _SIZE, _HANDLE),
    "cuMemcpyDtoHAsync_v2": (_HANDLE, _ADDRESS, _SIZE, _HANDLE),
    "cuStreamCreate": (_INTO, _FLAGS),
    "cuStreamDestroy_v2": (_HANDLE,),
    "cuStreamSynchronize": (_HANDLE,),
    "cuStreamWaitEvent": (_HANDLE, _HANDLE, _FLAGS),
    "cuEventCreate": (_INTO, _FLAGS),
    "cuEventDestroy_v2": (_HANDLE,),
    "cuEventRecord": (_HANDLE, _HANDLE),
    "cuEventSynchronize": (_HANDLE,),
    "cuStreamBeginCapture_v2": (_HANDLE, ctypes.c_int),
    "cuStreamEndCapture": (_HANDLE, _INTO),
    "cuGraphInstantiateWithFlags": (_INTO, _HANDLE, ctypes.c_ulonglong),
    "cuGraphDestroy": (_HANDLE,),
    "cuGraphLaunch": (_HANDLE, _HANDLE),
    "cuGraphExecDestroy": (_HANDLE,),
}


class CudaDriver:
    """The driver API on device 0 and its primary context, the one that TensorRT uses."""

    can_capture = True

    def __init__(self, library: str = CUDA_LIBRARY) -> None:
        """Take the primary context. The driver must have been started: call find_gpu first.

        Args:
            library: the driver's library, another one in tests.

        Raises:
            BackendUnavailable: there is none, or it lacks a call.
            BackendError: the driver refuses the context.
        """
        self._driver = _load(library)
        self._context = _primary_context(library)
        version = ctypes.c_int(0)
        self._driver.cuDriverGetVersion(ctypes.byref(version))
        self.name = f"CUDA driver {version.value // 1000}.{version.value % 1000 // 10}"

    def allocate(self, size: int) -> int:
        """Return the address of device memory."""
        address = _ADDRESS(0)
        self._call("cuMemAlloc_v2", ctypes.byref(address), size)
        return address.value

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call("cuMemFree_v2", address)

    def allocate_pinned(self, shape: tuple[int, ...]) -> UInt8[np.ndarray, ...]:
        """Return a page-locked array."""
        size = int(np.prod(shape))
        address = self._made("cuMemHostAlloc", size, 0)
        array = np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
        return array.reshape(shape)

    def free_pinned(self, array: np.ndarray) -> None:
        """Give a page-locked array back."""
        self._call("cuMemFreeHost", array.ctypes.data)

    def copy_in(self, address: int, source: np.ndarray, stream: int) -> None:
        """Queue a copy to the device."""
        self._call("cuMemcpyHtoDAsync_v2", address, source.ctypes.data, source.nbytes, stream)

    def copy_out(self, target: np.ndarray, address: int, stream: int) -> None:
        """Queue a copy from the device."""
        self._call("cuMemcpyDtoHAsync_v2", target.ctypes.data, address, target.nbytes, stream)

    def create_stream(self) -> int:
        """Return a new stream."""
        return self._made("cuStreamCreate", NON_BLOCKING)

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._call("cuStreamDestroy_v2", stream)

    def synchronize(self, stream: int) -> None:
        """Wait for a stream."""
        self._call("cuStreamSynchronize", stream)

    def create_event(self) -> int:
        """Return a new event."""
        return self._made("cuEventCreate", DISABLE_TIMING)

    def destroy_event(self, event: int) -> None:
        """Give an event back."""
        self._call("cuEventDestroy_v2", event)

    def record(self, event: int, stream: int) -> None:
        """Queue an event."""
        self._call("cuEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        """Hold a stream until an event."""
        self._call("cuStreamWaitEvent", stream, event, 0)

    def wait_for(self, event: int) -> None:
        """Wait for an event."""
        self._call("cuEventSynchronize", event)

    def begin_capture(self, stream: int) -> None:
        """Start to record."""
        self._call("cuStreamBeginCapture_v2", stream, THREAD_LOCAL)

    def end_capture(self, stream: int) -> int:
        """Return what was recorded."""
        recorded = ctypes.c_void_p(None)
        self._call("cuStreamEndCapture", stream, ctypes.byref(recorded))
        try:
            return self._made("cuGraphInstantiateWithFlags", recorded, 0)
        finally:
            self._call("cuGraphDestroy", recorded)

    def launch(self, graph: int, stream: int) -> None:
        """Queue a graph."""
        self._call("cuGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""
        self._call("cuGraphExecDestroy", graph)

    def close(self) -> None:
        """Do nothing: the primary context belongs to the process."""

    def _made(self, function: str, *args: Any) -> int:
        handle = ctypes.c_void_p(None)
        self._call(function, ctypes.byref(handle), *args)
        return int(handle.value or 0)

    def _call(self, function: str, *args: Any) -> None:
        # A context belongs to a thread, and the loop has several; setting it costs next to nothing.
        status = self._driver.cuCtxSetCurrent(self._context)
        status = status or getattr(self._driver, function)(*args)
        if status:
            raise _failed(self._driver, function, status)


def check_memory(cuda: CudaDriver, size: int = 1 << 20) -> None:
    """Allocate, copy there and back, compare and free, as a frame does.

    Raises:
        BackendError: a call failed, or other bytes came back.
    """
    stream = cuda.create_stream()
    sent, back = cuda.allocate_pinned((size,)), cuda.allocate_pinned((size,))
    address = cuda.allocate(size)
    try:
        sent[...] = np.arange(size, dtype=np.int64) % 251
        back[...] = 0
        cuda.copy_in(address, sent, stream)
        cuda.copy_out(back, address, stream)
        cuda.synchronize(stream)
        if not np.array_equal(sent, back):
            raise BackendError("other bytes came back from GPU memory than went there")
    finally:
        cuda.free(address)
        cuda.free_pinned(sent)
        cuda.free_pinned(back)
        cuda.destroy_stream(stream)


@functools.cache
def _load(library: str) -> Any:
    try:
        driver = ctypes.CDLL(library)
        for name, arguments in SIGNATURES.items():
            getattr(driver, name).argtypes = arguments
    except (OSError, AttributeError) as error:
        raise BackendUnavailable(
            f"the CUDA driver {library} cannot be used ({error}); {DRIVER_CURE}"
        ) from error
    return driver


@functools.cache
def _primary_context(library: str) -> int:
    """Retain the primary context, once and until the process ends."""
    driver, context = _load(library), ctypes.c_void_p(None)
    status = driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0)
    if status:
        raise _failed(driver, "cuDevicePrimaryCtxRetain", status)
    return int(context.value or 0)


def _failed(driver: Any, function: str, status: int) -> BackendError:
    text = ctypes.c_char_p(None)
    driver.cuGetErrorString(status, ctypes.byref(text))
    said = (text.value or b"unknown").decode(errors="replace")
    more = "; close other programs that use the GPU" if status == OUT_OF_MEMORY else ""
    return BackendError(f"{function} failed: error {status}, {said}{more}")
