"""Cuda over NVIDIA's cuda-python."""

from __future__ import annotations

import ctypes
from typing import Any

import cuda.bindings
import numpy as np
from cuda.bindings import runtime as cudart
from jaxtyping import UInt8

from edgeseg.errors import BackendError

OUT_OF_MEMORY = 2  # cudaErrorMemoryAllocation


class CudaPython:
    """The runtime API, on device 0 and its primary context, as TensorRT uses it."""

    can_capture = True

    def __init__(self) -> None:
        """Select device 0.

        Raises:
            BackendError: CUDA refuses it, for example with a driver older than the package.
        """
        self.name = f"cuda-python {getattr(cuda.bindings, '__version__', '')}".strip()
        self._call("cudaSetDevice", 0)

    def allocate(self, size: int) -> int:
        """Return the address of device memory."""
        return int(self._call("cudaMalloc", size))

    def free(self, address: int) -> None:
        """Give device memory back."""
        self._call("cudaFree", address)

    def allocate_pinned(self, shape: tuple[int, ...]) -> UInt8[np.ndarray, ...]:
        """Return a page-locked array."""
        size = int(np.prod(shape))
        address = int(self._call("cudaMallocHost", size))
        array = np.frombuffer((ctypes.c_uint8 * size).from_address(address), np.uint8)
        return array.reshape(shape)

    def free_pinned(self, array: np.ndarray) -> None:
        """Give a page-locked array back."""
        self._call("cudaFreeHost", array.ctypes.data)

    def copy_in(self, address: int, source: np.ndarray, stream: int) -> None:
        """Queue a copy to the device."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, source.ctypes.data, source.nbytes, kind, stream)

    def copy_out(self, target: np.ndarray, address: int, stream: int) -> None:
        """Queue a copy from the device."""
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", target.ctypes.data, address, target.nbytes, kind, stream)

    def create_stream(self) -> int:
        """Return a new stream."""
        return int(self._call("cudaStreamCreateWithFlags", cudart.cudaStreamNonBlocking))

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""
        self._call("cudaStreamDestroy", stream)

    def synchronize(self, stream: int) -> None:
        """Wait for a stream."""
        self._call("cudaStreamSynchronize", stream)

    def create_event(self) -> int:
        """Return a new event."""
        return int(self._call("cudaEventCreateWithFlags", cudart.cudaEventDisableTiming))

    def destroy_event(self, event: int) -> None:
        """Give an event back."""
        self._call("cudaEventDestroy", event)

    def record(self, event: int, stream: int) -> None:
        """Queue an event."""
        self._call("cudaEventRecord", event, stream)

    def wait(self, stream: int, event: int) -> None:
        """Hold a stream until an event."""
        self._call("cudaStreamWaitEvent", stream, event, 0)

    def wait_for(self, event: int) -> None:
        """Wait for an event."""
        self._call("cudaEventSynchronize", event)

    def begin_capture(self, stream: int) -> None:
        """Start to record."""
        # Thread-local: calls of other threads, such as a camera's, must not end the recording.
        mode = cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: int) -> int:
        """Return what was recorded."""
        recorded = self._call("cudaStreamEndCapture", stream)
        graph = int(self._call("cudaGraphInstantiate", recorded, 0))
        self._call("cudaGraphDestroy", recorded)
        return graph

    def launch(self, graph: int, stream: int) -> None:
        """Queue a graph."""
        self._call("cudaGraphLaunch", graph, stream)

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""
        self._call("cudaGraphExecDestroy", graph)

    def close(self) -> None:
        """Do nothing: the primary context belongs to the process."""

    def _call(self, function: str, *args: Any) -> Any:
        status, *values = getattr(cudart, function)(*args)
        if int(status) != 0:
            raise BackendError(
                f"{function} failed: {getattr(status, 'name', status)}"
                + (
                    "; close other programs that use the GPU"
                    if int(status) == OUT_OF_MEMORY
                    else ""
                )
            )
        return values[0] if values else None
