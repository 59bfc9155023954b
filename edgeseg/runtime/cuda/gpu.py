"""The GPU: found through its driver, used through one small Protocol.

TensorRT ends the process when there is no driver, so `find_gpu` asks the driver itself, by ctypes,
before anything of TensorRT is touched.
"""

from __future__ import annotations

import ctypes
import dataclasses
import importlib
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.packages import is_installed
from edgeseg.errors import BackendUnavailable

CUDA_LIBRARY = "libcuda.so.1"
# CUdevice_attribute of the driver API: compute capability, major and minor.
MAJOR, MINOR = 75, 76
NAME_BYTES = 256
# The driver's own API needs no package and has no version to match.
DRIVER = "edgeseg.runtime.cuda.driver:CudaDriver"
# Where the driver lacks a call. Module that is looked for: "module:Class" of the adapter.
ADAPTERS = {
    "cuda.bindings": "edgeseg.runtime.cuda.cuda_python:CudaPython",
    "pycuda": "edgeseg.runtime.cuda.pycuda:PyCuda",
}
DRIVER_CURE = (
    "on a Jetson run on the board itself or in a container with --runtime nvidia; "
    "on a PC install NVIDIA's driver"
)


@dataclasses.dataclass(frozen=True)
class Gpu:
    """The first CUDA device.

    Attributes:
        name: the driver's name for it, e.g. "Orin".
        sm: compute capability, e.g. "8.7".
        cuda: the newest CUDA version that the driver serves, e.g. "12.6".
    """

    name: str
    sm: str
    cuda: str


@runtime_checkable
class Cuda(Protocol):
    """Memory, streams, events and graphs of one GPU. Addresses and handles are plain integers.

    Every method raises BackendError with the name of the failed call.
    """

    name: str
    can_capture: bool

    def allocate(self, size: int) -> int:
        """Return the address of `size` bytes of device memory."""

    def free(self, address: int) -> None:
        """Give device memory back."""

    def allocate_pinned(self, shape: tuple[int, ...]) -> UInt8[np.ndarray, ...]:
        """Return a page-locked array in host memory, which copies without a detour."""

    def free_pinned(self, array: np.ndarray) -> None:
        """Give a page-locked array back; it must not be touched again."""

    def copy_in(self, address: int, source: np.ndarray, stream: int) -> None:
        """Queue a copy from a page-locked array to the device."""

    def copy_out(self, target: np.ndarray, address: int, stream: int) -> None:
        """Queue a copy from the device to a page-locked array."""

    def create_stream(self) -> int:
        """Return a new stream that does not wait for the default one."""

    def destroy_stream(self, stream: int) -> None:
        """Give a stream back."""

    def synchronize(self, stream: int) -> None:
        """Wait until everything queued on the stream is done."""

    def create_event(self) -> int:
        """Return a new event."""

    def destroy_event(self, event: int) -> None:
        """Give an event back."""

    def record(self, event: int, stream: int) -> None:
        """Queue the event behind what is on the stream now."""

    def wait(self, stream: int, event: int) -> None:
        """Hold what is queued on the stream from now on until the event has come."""

    def wait_for(self, event: int) -> None:
        """Wait on the host until the event has come."""

    def begin_capture(self, stream: int) -> None:
        """Record what is queued on the stream from now on instead of running it."""

    def end_capture(self, stream: int) -> int:
        """Return the recorded graph, ready to be launched."""

    def launch(self, graph: int, stream: int) -> None:
        """Queue a recorded graph."""

    def destroy_graph(self, graph: int) -> None:
        """Give a graph back."""

    def close(self) -> None:
        """Give back what the adapter itself holds."""


def find_gpu(library: str = CUDA_LIBRARY) -> Gpu:
    """Return the first GPU that the CUDA driver knows.

    Args:
        library: the driver's library, another one in tests.

    Raises:
        BackendUnavailable: no driver, a driver that does not start, or no device.
    """
    try:
        driver = ctypes.CDLL(library)
    except OSError as error:
        raise BackendUnavailable(
            f"no CUDA driver here: {library} cannot be loaded; {DRIVER_CURE}"
        ) from error
    status = driver.cuInit(0)
    if status != 0:
        raise BackendUnavailable(
            f"the CUDA driver does not start: cuInit gives error {status}; {DRIVER_CURE}"
        )
    version, count, device = ctypes.c_int(0), ctypes.c_int(0), ctypes.c_int(0)
    driver.cuDriverGetVersion(ctypes.byref(version))
    driver.cuDeviceGetCount(ctypes.byref(count))
    cuda = f"{version.value // 1000}.{version.value % 1000 // 10}"
    if count.value == 0 or driver.cuDeviceGet(ctypes.byref(device), 0) != 0:
        raise BackendUnavailable(f"the CUDA {cuda} driver knows no GPU; {DRIVER_CURE}")
    name = ctypes.create_string_buffer(NAME_BYTES)
    driver.cuDeviceGetName(name, NAME_BYTES, device)
    capability = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int(0)
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(str(value.value))
    return Gpu(name.value.decode(errors="replace"), ".".join(capability), cuda)


def open_cuda() -> Cuda:
    """Return the driver's adapter, or that of an installed CUDA package. Call find_gpu first.

    Raises:
        BackendUnavailable: the driver lacks a call, and no package is there or can be imported.
        BackendError: the driver refuses its context.
    """
    try:
        return _adapter(DRIVER)
    except BackendUnavailable as error:
        problem = error
    for module, target in ADAPTERS.items():
        if not is_installed(module):
            continue
        try:
            return _adapter(target)
        except ImportError as error:
            raise BackendUnavailable(
                f"{module} is installed but cannot be imported ({error}); "
                "pip install --force-reinstall 'edgeseg[cuda]'"
            ) from error
    raise problem


def _adapter(target: str) -> Cuda:
    module_name, class_name = target.split(":")
    adapter: Cuda = getattr(importlib.import_module(module_name), class_name)()
    return adapter
