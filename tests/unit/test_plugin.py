"""The un-pool plugin: its arithmetic on the CPU against torch, its kernels through compilers."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from trt_lines import CACHE

import edgeseg

PLUGIN = Path(edgeseg.__file__).parent.parent / "deploy" / "plugin"
if not PLUGIN.is_dir():
    pytest.skip("the plugin's source is not installed", allow_module_level=True)
KINDS = {"int8": np.int8, "fp32": np.float32}
# The NVRTC that knows each architecture: 12 is the last with Xavier, 13 the first with Thor.
NVRTC = {"nvidia-cuda-nvrtc-cu12==12.6.85": (72, 87, 90), "nvidia-cuda-nvrtc==13.0.88": (87, 110)}


@pytest.fixture(scope="module")
def library(tmp_path_factory) -> ctypes.CDLL:
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    path = tmp_path_factory.mktemp("plugin") / "arithmetic.so"
    command = ["g++", "-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
    source = PLUGIN / "arithmetic_test.cpp"
    subprocess.run([*command, source, "-o", path], check=True)
    return ctypes.CDLL(str(path))


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
@pytest.mark.parametrize("wheel", NVRTC)
def test_kernels_compile_for_each_board(wheel):
    folder = CACHE / wheel.replace("==", "-")
    if not folder.is_dir():
        got = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder,
             "--only-binary=:all:", wheel],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if got.returncode:
            pytest.skip(f"no {wheel} from the package index: {got.stderr.strip()[-200:]}")
    # NVRTC looks for this by name alone.
    ctypes.CDLL(str(next(folder.rglob("libnvrtc-builtins.so.1*"))), mode=ctypes.RTLD_GLOBAL)
    nvrtc = ctypes.CDLL(str(next(folder.rglob("libnvrtc.so.1?"))))
    source = (PLUGIN / "kernels.cu").read_bytes()
    header = (PLUGIN / "arithmetic.h").read_bytes()
    for sm in NVRTC[wheel]:
        program = ctypes.c_void_p()
        strings = ctypes.c_char_p * 1
        assert nvrtc.nvrtcCreateProgram(
            ctypes.byref(program), source, b"kernels.cu", 1,
            strings(header), strings(b"arithmetic.h"),
        ) == 0  # fmt: skip
        options = (ctypes.c_char_p * 2)(f"-arch=sm_{sm}".encode(), b"-std=c++17")
        status = nvrtc.nvrtcCompileProgram(program, 2, options)
        size = ctypes.c_size_t()
        nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
        log = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetProgramLog(program, log)
        assert status == 0, f"sm_{sm}: {log.value.decode()}"
        assert nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(size)) == 0
        cubin = ctypes.create_string_buffer(size.value)
        nvrtc.nvrtcGetCUBIN(program, cubin)
        for kind in ("int8", "fp16", "fp32"):
            assert f"edgeseg_unpool_{kind}".encode() in cubin.raw
            assert f"edgeseg_pool_{kind}".encode() in cubin.raw
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


@pytest.mark.slow
def test_the_plugin_compiles_where_tensorrts_headers_are(tmp_path):
    places = [os.environ.get("TENSORRT_INCLUDE"), "/usr/include/x86_64-linux-gnu",
              "/usr/include/aarch64-linux-gnu", "/usr/include"]  # fmt: skip
    include = next((p for p in places if p and (Path(p) / "NvInfer.h").is_file()), None)
    nvcc = shutil.which("nvcc")
    if include is None or nvcc is None:
        pytest.skip("no NvInfer.h (TENSORRT_INCLUDE names its folder) or no nvcc")
    done = subprocess.run(
        [nvcc, "-std=c++17", "-O2", "-shared", "-Xcompiler", "-fPIC,-Wno-deprecated-declarations",
         "-isystem", include, "-arch=sm_87", PLUGIN / "plugin.cu", "-o", tmp_path / "plugin.so"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    library = ctypes.CDLL(str(tmp_path / "plugin.so"))
    count = ctypes.c_int32()
    library.getCreators.restype = ctypes.POINTER(ctypes.c_void_p)
    creators = library.getCreators(ctypes.byref(count))
    assert count.value == 2
    assert creators[0]
    assert creators[1]
