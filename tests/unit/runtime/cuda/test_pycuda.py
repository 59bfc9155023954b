"""Our adapter for PyCUDA against the real PyCUDA, built here, over a driver in main memory."""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
from trt_lines import CACHE, TESTS

PYCUDA = "pycuda==2026.1"
HEADERS = "nvidia-cuda-runtime-cu12==12.6.77"
NEEDS = ("pytools", "platformdirs", "mako")
# What PyCUDA asks for of the one header that no package has.
PROFILER = """
#include <cuda.h>
typedef enum CUoutput_mode_enum { CU_OUT_KEY_VALUE_PAIR, CU_OUT_CSV } CUoutput_mode;
extern "C" CUresult cuProfilerInitialize(const char *, const char *, CUoutput_mode);
extern "C" CUresult cuProfilerStart(void);
extern "C" CUresult cuProfilerStop(void);
"""
DRIVER = ("driver.c", "driver_memory.c")
# PyCUDA's module takes a minute or two of one core to compile, once.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


def pip(*arguments: object) -> None:
    command = [
        sys.executable,
        "-m",
        "pip",
        *arguments[:1],
        "--quiet",
        "--disable-pip-version-check",
    ]
    got = subprocess.run(
        [*map(str, command), *map(str, arguments[1:])], capture_output=True, text=True, check=False
    )
    if got.returncode:
        pytest.skip(f"PyCUDA cannot be built here: {got.stderr.strip()[-300:]}")


@pytest.fixture(scope="module")
def pycuda() -> Path:
    """Folder of PyCUDA, which has no wheels: compiled with CUDA's headers, linked to no driver."""
    folder = CACHE / f"{PYCUDA.replace('==', '-')}-cp{sys.version_info[0]}{sys.version_info[1]}"
    if folder.is_dir():
        return folder
    work = folder.with_name(f"{folder.name}.{os.getpid()}")
    pip("download", "--no-deps", "--only-binary=:all:", "--dest", work, HEADERS)
    with zipfile.ZipFile(next(work.glob("*.whl"))) as archive:
        archive.extractall(work / "cuda")
    include = work / "cuda" / "nvidia" / "cuda_runtime" / "include"
    (include / "cudaProfiler.h").write_text(PROFILER)
    pip("download", "--no-deps", "--no-binary=pycuda", "--dest", work, PYCUDA)
    with tarfile.open(next(work.glob("pycuda-*.tar.gz"))) as archive:
        archive.extractall(work, filter="data")
    source = next(path for path in work.glob("pycuda-*") if path.is_dir())
    (work / "lib").mkdir()
    empty = ["gcc", "-shared", "-x", "c", "/dev/null", "-o", work / "lib" / "libcuda.so"]
    subprocess.run(empty, check=True, capture_output=True)
    settings = {
        "USE_SHIPPED_BOOST": True, "CUDA_ENABLE_CURAND": False, "CUDA_INC_DIR": [str(include)],
        "CUDADRV_LIB_DIR": [str(work / "lib")], "CUDADRV_LIBNAME": ["cuda"],
        "CXXFLAGS": ["-O0", "-g0"],
    }  # fmt: skip
    lines = (f"{name} = {value!r}\n" for name, value in settings.items())
    (source / "siteconf.py").write_text("".join(lines))
    pip("install", "--no-deps", "--target", work / "site", source)
    pip("install", "--target", work / "site", *NEEDS)
    (work / "site").replace(folder)
    return folder


@pytest.fixture(scope="module")
def driver(tmp_path_factory) -> Path:
    library = tmp_path_factory.mktemp("driver") / "libcuda.so.1"
    sources = [TESTS / "bindings" / name for name in DRIVER]
    command = ["gcc", "-shared", "-fPIC", "-Wall", "-Werror", *sources, "-o", library]
    subprocess.run(command, check=True)
    return library


def test_frames_come_back_and_nothing_is_left(pycuda: Path, driver: Path):
    done = subprocess.run(
        [sys.executable, TESTS / "bindings" / "pycuda_flow.py", driver],
        env={**os.environ, "PYTHONPATH": f"{pycuda}{os.pathsep}{TESTS.parent}",
             "LD_LIBRARY_PATH": str(driver.parent)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["name"] == PYCUDA.replace("==", " ")
    assert found["is_cuda"]
    assert found["same"] == [True] * 3
    assert set(found["left"].values()) == set(found["after_close"].values()) == {0}
    assert "out of memory" in found["no_memory"]
    assert "cannot record CUDA graphs" in found["no_graphs"]
    # A context left current would be in TensorRT's way.
    assert found["pushed"] == found["pushed_again"] == 0
