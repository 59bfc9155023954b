"""The un-pool plugin: its arithmetic on the CPU against torch, its kernels through compilers."""

import ctypes
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from nvrtc import WHEELS, compile_kernels, load

import edgeseg

PLUGIN = Path(edgeseg.__file__).parent.parent / "deploy" / "plugin"
if not PLUGIN.is_dir():
    pytest.skip("the plugin's source is not installed", allow_module_level=True)
KINDS = {"int8": np.int8, "fp32": np.float32}


def compiled(name: str, folder: Path) -> ctypes.CDLL:
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    path = folder / f"{name}.so"
    # A wide load or store at an address that is no multiple of its width ends the process.
    command = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    checks = ["-fsanitize=alignment", "-fsanitize-undefined-trap-on-error"]
    subprocess.run([*command, *checks, PLUGIN / f"{name}.cpp", "-o", path], check=True)
    return ctypes.CDLL(str(path))


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    return compiled("arithmetic_test", tmp_path_factory.mktemp("plugin"))


@pytest.fixture(scope="module")
def kernels(tmp_path_factory) -> ctypes.CDLL:
    return compiled("kernels_test", tmp_path_factory.mktemp("kernels"))


def pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def pooled(library, kind: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    n, c, h, w = x.shape
    values = np.empty((n, c, (h + 1) // 2, (w + 1) // 2), x.dtype)
    indices = np.empty((n, c, (h + 1) // 2, (w + 7) // 8), np.uint8)
    call = getattr(library, f"pool_{kind}")
    call(pointer(x), pointer(values), pointer(indices), n * c, h, w)
    return values, indices


def unpooled(library, kind: str, values, indices, size_hw) -> np.ndarray:
    n, c = values.shape[:2]
    y = np.empty((n, c, *size_hw), values.dtype)
    call = getattr(library, f"unpool_{kind}")
    call(pointer(values), pointer(indices), pointer(y), n * c, *size_hw)
    return y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size_hw", [(6, 8), (7, 9), (2, 2), (1, 1), (5, 16), (12, 35)])
@pytest.mark.parametrize("levels", [3, 200])
def test_pool_and_unpool_are_torchs_ties_and_odd_sizes_included(library, kind, size_hw, levels):
    rng = np.random.default_rng(levels)
    # Three levels make most windows tie.
    x = rng.integers(-levels // 2, levels // 2 + 1, (2, 3, *size_hw)).clip(-128, 127)
    x = np.ascontiguousarray(x.astype(KINDS[kind]))
    values, indices = pooled(library, kind, x)
    wanted, places = F.max_pool2d(
        torch.from_numpy(x.astype(np.float32)), 2, 2, ceil_mode=True, return_indices=True
    )
    assert np.array_equal(values, wanted.numpy())
    back = F.max_unpool2d(wanted, places, 2, 2, output_size=size_hw)
    assert np.array_equal(unpooled(library, kind, values, indices, size_hw), back.numpy())


# Grids that do all in one turn, that loop, and that have idle threads.
GRIDS = [(1, 7), (3, 4), (64, 32)]


@pytest.mark.parametrize("kind", ["int8", "fp16", "fp32"])
@pytest.mark.parametrize("size_hw", [(6, 8), (7, 9), (2, 2), (1, 1), (5, 16), (12, 35), (8, 24)])
@pytest.mark.parametrize("offset", [0, 1])
def test_the_kernels_own_code_is_torchs_thread_by_thread(kernels, kind, size_hw, offset):
    dtype = {"int8": np.int8, "fp16": np.float16, "fp32": np.float32}[kind]
    rng = np.random.default_rng(7)
    x = rng.integers(-3, 4, (2, 3, *size_hw)).astype(dtype)
    if kind != "int8":
        x = (x * dtype(0.37)).astype(dtype)
    # An offset of one cell breaks the alignment that wide loads ask for.
    held = np.empty(x.size + offset, dtype)
    held[offset:] = x.ravel()
    n, c, h, w = x.shape
    rows, windows = (h + 1) // 2, (w + 1) // 2
    values = np.empty((n, c, rows, windows), dtype)
    indices = np.empty((n, c, rows, (windows + 3) // 4), np.uint8)
    y = np.full(x.size + offset + 1, 77, dtype)
    wanted, places = F.max_pool2d(
        torch.from_numpy(x.astype(np.float32)), 2, 2, ceil_mode=True, return_indices=True
    )
    back = F.max_unpool2d(wanted, places, 2, 2, output_size=size_hw).numpy().astype(dtype)
    for blocks, threads in GRIDS:
        getattr(kernels, f"run_pool_{kind}")(
            blocks, threads, pointer(held[offset:]), pointer(values), pointer(indices), n * c, h, w
        )
        assert np.array_equal(values, wanted.numpy().astype(dtype))
        y[:] = 77
        getattr(kernels, f"run_unpool_{kind}")(
            blocks, threads, pointer(values), pointer(indices), pointer(y[offset:]), n * c, h, w
        )
        assert np.array_equal(y[offset:-1].reshape(x.shape), back)
        # Nothing is written beside the plane.
        assert (y[:offset] == 77).all()
        assert y[-1] == 77


def test_a_nan_wins_as_in_torch(library):
    x = np.zeros((1, 1, 2, 4), np.float32)
    x[0, 0, 0] = [np.nan, 2, 1, 2]
    x[0, 0, 1] = [3, 1, np.nan, 5]
    values, indices = pooled(library, "fp32", x)
    assert np.isnan(values).all()
    assert indices.tolist() == [[[[0 | 2 << 2]]]]


@pytest.mark.parametrize(("size_hw", "kind"), [((360, 480), "int8"), ((180, 240), "int8")])
def test_indices_take_two_bits_a_window(library, size_hw, kind):
    x = np.zeros((1, 4, *size_hw), np.int8)
    values, indices = pooled(library, kind, x)
    assert indices.nbytes * 4 == values.size


def test_the_plugin_never_offers_a_type_that_tensorrt_forbids():
    text = (PLUGIN / "plugin.cu").read_text()
    code = "\n".join(line.split("//")[0] for line in text.splitlines())
    assert "kUINT8" not in code
    assert "kBOOL" not in code


@pytest.mark.slow
@pytest.mark.parametrize("wheel", WHEELS)
def test_kernels_compile_for_each_board(wheel):
    nvrtc = load(wheel)
    for sm in WHEELS[wheel]:
        cubin = compile_kernels(nvrtc, PLUGIN, sm)
        for kind in ("int8", "fp16", "fp32"):
            assert f"edgeseg_unpool_{kind}".encode() in cubin
            assert f"edgeseg_pool_{kind}".encode() in cubin


@pytest.mark.slow
def test_the_plugin_compiles_where_tensorrts_headers_are(tmp_path):
    places = [os.environ.get("TENSORRT_INCLUDE"), "/usr/include/x86_64-linux-gnu",
              "/usr/include/aarch64-linux-gnu", "/usr/include"]  # fmt: skip
    include = next((p for p in places if p and (Path(p) / "NvInfer.h").is_file()), None)
    if include is None or shutil.which("nvcc") is None or shutil.which("cmake") is None:
        pytest.skip("no NvInfer.h (TENSORRT_INCLUDE names its folder), nvcc or cmake")
    for command in (
        ["cmake", "-S", PLUGIN, "-B", tmp_path, f"-DTENSORRT_INCLUDE={include}"],
        ["cmake", "--build", tmp_path, "--verbose"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "arch=compute_87" in done.stdout
    library = ctypes.CDLL(str(tmp_path / "libedgeseg_unpool.so"))
    count = ctypes.c_int32()
    library.getCreators.restype = ctypes.POINTER(ctypes.c_void_p)
    creators = library.getCreators(ctypes.byref(count))
    assert count.value == 2
    assert creators[0]
    assert creators[1]
