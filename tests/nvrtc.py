"""The plugin's kernels through NVRTC, which compiles for a GPU that is not there."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from trt_lines import CACHE

# The NVRTC that knows each architecture: 12 is the last with Xavier, 13 the first with Thor.
WHEELS = {"nvidia-cuda-nvrtc-cu12==12.6.85": (72, 87, 90), "nvidia-cuda-nvrtc==13.0.88": (87, 110)}


def load(wheel: str) -> ctypes.CDLL:
    """The wheel's NVRTC; skips where it cannot be had."""
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
    return ctypes.CDLL(str(next(folder.rglob("libnvrtc.so.1?"))))


def compile_kernels(nvrtc: ctypes.CDLL, plugin: Path, sm: int) -> bytes:
    """Return the cubin of deploy/plugin's kernels for an architecture."""
    source = (plugin / "kernels.cu").read_bytes()
    header = (plugin / "arithmetic.h").read_bytes()
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
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return cubin.raw
