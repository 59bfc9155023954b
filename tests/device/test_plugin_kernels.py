"""The un-pool kernels on an NVIDIA GPU: against torch, and how near they come to a plain copy."""

import ctypes
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nvrtc import WHEELS, compile_kernels, load

import edgeseg
from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.cuda.gpu import find_gpu

pytestmark = pytest.mark.device

PLUGIN = Path(edgeseg.__file__).parent.parent / "deploy" / "plugin"
DTYPES = {"int8": np.int8, "fp16": np.float16, "fp32": np.float32}
THREADS, BLOCKS, RUNS = 256, 4096, 20


class Gpu:
    """Just enough of the CUDA driver's interface."""

    def __init__(self, cubin: bytes) -> None:
        self.driver = ctypes.CDLL("libcuda.so.1")
        device, self.context, self.module = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self("cuInit", 0)
        self("cuDeviceGet", ctypes.byref(device), 0)
        self("cuDevicePrimaryCtxRetain", ctypes.byref(self.context), device)
        self("cuCtxSetCurrent", self.context)
        self("cuModuleLoadData", ctypes.byref(self.module), cubin)

    def __call__(self, name: str, *args: object) -> None:
        status = getattr(self.driver, name)(*args)
        assert status == 0, f"{name} gives error {status}"

    def put(self, array: np.ndarray) -> ctypes.c_uint64:
        """Copy an array to new memory of the device."""
        address = ctypes.c_uint64()
        self("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(array.nbytes))
        data = np.ascontiguousarray(array)
        self("cuMemcpyHtoD_v2", address, data.ctypes.data_as(ctypes.c_void_p),
             ctypes.c_size_t(data.nbytes))  # fmt: skip
        return address

    def get(self, address: ctypes.c_uint64, like: np.ndarray) -> np.ndarray:
        """Copy an array back."""
        found = np.empty_like(like)
        self("cuCtxSynchronize")
        self("cuMemcpyDtoH_v2", found.ctypes.data_as(ctypes.c_void_p), address,
             ctypes.c_size_t(found.nbytes))  # fmt: skip
        return found

    def launch(self, name: str, addresses: list[ctypes.c_uint64], planes: int, h: int, w: int):
        function = ctypes.c_void_p()
        self("cuModuleGetFunction", ctypes.byref(function), self.module, name.encode())
        values = [*addresses, *(ctypes.c_int(n) for n in (planes, h, w))]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.addressof(v) for v in values))
        self("cuLaunchKernel", function, BLOCKS, 1, 1, THREADS, 1, 1, 0, None, pointers, None)

    def milliseconds(self, run) -> float:
        """Time of one run, over many."""
        events = [ctypes.c_void_p(), ctypes.c_void_p()]
        for event in events:
            self("cuEventCreate", ctypes.byref(event), 0)
        run()
        self("cuEventRecord", events[0], None)
        for _ in range(RUNS):
            run()
        self("cuEventRecord", events[1], None)
        self("cuEventSynchronize", events[1])
        found = ctypes.c_float()
        self("cuEventElapsedTime", ctypes.byref(found), *events)
        return found.value / RUNS


@pytest.fixture(scope="module")
def gpu() -> Gpu:
    try:
        found = find_gpu()
    except BackendUnavailable as error:
        pytest.skip(str(error))
    sm = int(found.sm.replace(".", ""))
    wheel = next((name for name, known in WHEELS.items() if sm in known), list(WHEELS)[-1])
    return Gpu(compile_kernels(load(wheel), PLUGIN, sm))


@pytest.mark.parametrize("kind", DTYPES)
@pytest.mark.parametrize("size_hw", [(6, 8), (7, 9), (1, 1), (45, 61), (180, 240), (360, 480)])
def test_the_kernels_are_torchs(gpu, kind, size_hw):
    dtype = DTYPES[kind]
    x = np.random.default_rng(3).integers(-3, 4, (2, 5, *size_hw)).astype(dtype)
    n, c, h, w = x.shape
    wanted, places = F.max_pool2d(
        torch.from_numpy(x.astype(np.float32)), 2, 2, ceil_mode=True, return_indices=True
    )
    back = F.max_unpool2d(wanted, places, 2, 2, output_size=size_hw).numpy().astype(dtype)
    values = wanted.numpy().astype(dtype)
    indices = np.empty((n, c, (h + 1) // 2, (w + 7) // 8), np.uint8)
    at = [gpu.put(array) for array in (x, np.zeros_like(values), indices, np.zeros_like(x))]
    gpu.launch(f"edgeseg_pool_{kind}", at[:3], n * c, h, w)
    gpu.launch(f"edgeseg_unpool_{kind}", at[1:], n * c, h, w)
    assert np.array_equal(gpu.get(at[1], values), values)
    assert np.array_equal(gpu.get(at[3], x), back)
    for address in at:
        gpu("cuMemFree_v2", address)


@pytest.mark.parametrize("kind", DTYPES)
def test_their_bandwidth_is_a_good_share_of_a_copys(gpu, kind, record_property):
    x = np.zeros((8, 64, 360, 480), DTYPES[kind])
    planes, (h, w) = x.shape[0] * x.shape[1], x.shape[2:]
    values, indices = x[:, :, ::2, ::2], np.empty((planes, h // 2, w // 8), np.uint8)
    at = [gpu.put(array) for array in (x, values, indices, x)]
    moved = x.nbytes + values.nbytes + indices.nbytes
    copy = gpu.milliseconds(
        lambda: gpu("cuMemcpyDtoDAsync_v2", at[3], at[0], ctypes.c_size_t(x.nbytes), None)
    )
    copied = 2 * x.nbytes / copy
    for name, addresses in (("pool", at[:3]), ("unpool", at[1:])):
        took = gpu.milliseconds(
            lambda name=name, addresses=addresses: gpu.launch(
                f"edgeseg_{name}_{kind}", addresses, planes, h, w
            )
        )
        share = moved / took / copied
        record_property(f"{name}_{kind}_share_of_copy", share)
        print(f"{name} {kind}: {moved / took / 1e6:.0f} GB/s, {share:.2f} of a copy's")
        # A floor far below what is hoped for: no assertion on speed, only on a gross fault.
        assert share > 0.05
    for address in at:
        gpu("cuMemFree_v2", address)
