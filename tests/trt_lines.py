"""The lines of TensorRT that edgeseg speaks to: their real Python bindings, on stub libraries.

The wheels (about 1 MB each) come from the package index once and lie in a cache folder. They hold
no TensorRT: the libraries they link are ours, tests/bindings/stub.c.
"""

import functools
import os
import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "edgeseg-tests"
# Version of TensorRT: the wheel that carries its bindings.
LINES = {
    "8.6.1": "tensorrt-bindings==8.6.1",
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.13.3": "tensorrt-cu12-bindings==10.13.3.9",
    "10.16.1": "tensorrt-cu13-bindings==10.16.1.11",
    "11.4.0": "tensorrt-cu13-bindings==11.4.0.106",
}
STUBS = {"nvinfer": "INFER", "nvinfer_plugin": "PLUGIN", "nvonnxparser": "PARSER"}


def environment(line: str, **more: str) -> dict[str, str]:
    """Environment in which `import tensorrt` gives the doubles over that line's bindings."""
    wheel, libraries = bindings(line), stubs(line.split(".")[0])
    paths = [TESTS / "bindings" / "doubles", wheel, TESTS, TESTS.parent]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "LD_LIBRARY_PATH": str(libraries),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        **more,
    }


def run(line: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python in that environment."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        env=environment(line, **more),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@functools.cache
def bindings(line: str) -> Path:
    """Folder of that line's bindings; skips where they cannot be had."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip("the bindings' wheels are looked for on x86-64 Linux only")
    folder = CACHE / f"bindings-{line}-cp{sys.version_info[0]}{sys.version_info[1]}"
    if (folder / "tensorrt_bindings").is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    got = subprocess.run(
        [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:",
         "--disable-pip-version-check", "--dest", CACHE, LINES[line]],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    name = LINES[line].replace("-", "_").replace("==", "-")
    wheels = sorted(CACHE.glob(f"{name}-cp{sys.version_info[0]}{sys.version_info[1]}-*.whl"))
    if not wheels:
        reason = got.stderr.strip().splitlines()
        pytest.skip(f"no {LINES[line]} from the package index: {reason[-1] if reason else '?'}")
    partial = folder.with_name(f"{folder.name}.{os.getpid()}")
    with zipfile.ZipFile(wheels[0]) as archive:
        archive.extractall(partial)
    try:
        partial.rename(folder)
    except OSError:
        assert folder.is_dir(), "another worker was to have made it"
    return folder


@functools.cache
def stubs(major: str) -> Path:
    """Folder with stub libraries of that major version and a driver that knows one GPU."""
    folder = CACHE / f"stubs-{major}"
    source, driver = TESTS / "bindings" / "stub.c", TESTS / "bindings" / "driver.c"
    wanted = dict(STUBS)
    if major == "8":
        wanted["nvparsers"] = "OLD_PARSERS"
    folder.mkdir(parents=True, exist_ok=True)
    for name, macro in wanted.items():
        _compile(folder / f"lib{name}.so.{major}", source, f"-D{macro}")
    _compile(folder / "libcuda.so.1", driver)
    return folder


def _compile(library: Path, source: Path, *flags: str) -> None:
    if library.is_file() and library.stat().st_mtime > source.stat().st_mtime:
        return
    partial = library.with_name(f"{library.name}.{os.getpid()}")
    command = ["gcc", "-shared", "-fPIC", f"-Wl,-soname,{library.name}", *flags, source]
    try:
        subprocess.run([*command, "-o", partial], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no C compiler that makes the stub libraries: {error}")
    partial.replace(library)
