"""What this machine can and cannot do, each finding with its cure."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.metadata
import platform
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import read_bundle
from edgeseg.core.zoo import ZOO, zoo_names
from edgeseg.errors import EdgesegError
from edgeseg.target.backends import BACKENDS, missing_package
from edgeseg.target.telemetry import ROOT, board, fingerprint, is_jetson

OLDEST_PYTHON = (3, 10)
# An engine, its timing cache and the files beside it.
DISK_BYTES = 1 << 30
MEMORY_BYTES = 1 << 30
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
CUDA_LIBRARY = "libcuda.so.1"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One line of the doctor.

    Attributes:
        name: what was looked at.
        status: "ok", "missing", or "warning" for what works but not well or not for everything.
        found: what is there.
        needed: what is wanted, and what for.
        cure: what to do, empty when nothing is to be done.
    """

    name: str
    status: str
    found: str
    needed: str
    cure: str = ""


def examine(root: Path = ROOT, *, folder: Path = Path(), zoo: Path = ZOO) -> tuple[Finding, ...]:
    """Look at everything a command may need.

    TensorRT is looked for but not loaded: without a CUDA driver its runtime ends the process.

    Args:
        root: the file system's root, another one in tests.
        folder: where files will be written; its free space is looked at.
        zoo: the folder of shipped bundles.
    """
    return (
        _python(),
        *_opencv(root),
        *_runtimes(),
        _driver(),
        _tensorrt(root),
        _board(root),
        _memory(root),
        _disk(folder),
        *_zoo(zoo),
    )


def to_json(findings: tuple[Finding, ...]) -> dict[str, Any]:
    """Return the document of `edgeseg doctor --json`."""
    return {"checks": [dataclasses.asdict(finding) for finding in findings]}


def _python() -> Finding:
    found = platform.python_version()
    oldest = ".".join(map(str, OLDEST_PYTHON))
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return Finding("python", "ok", found, f"{oldest} or newer")
    return Finding("python", "missing", found, f"{oldest} or newer", "use JetPack 6 or newer")


def _opencv(root: Path) -> Iterator[Finding]:
    wheels = [name for name in OPENCV_WHEELS if version_of(name) is not None]
    if len(wheels) > 1:
        # All of them write the folder cv2: which one runs depends on who came last.
        yield Finding(
            "opencv wheels",
            "warning",
            ", ".join(f"{name} {version_of(name)}" for name in wheels),
            "one of them",
            f"pip uninstall {' '.join(wheels)}; then pip install 'edgeseg[cv]' or "
            "'edgeseg[window]'; on a Jetson neither, JetPack's own is used",
        )
    try:
        import cv2
    except ImportError as error:
        yield Finding(
            "opencv",
            "missing",
            f"not importable ({error})",
            "images, video and cameras",
            "pip install 'edgeseg[cv]'; on a Jetson use JetPack's own "
            "(venv --system-site-packages)",
        )
        return
    build = cv2.getBuildInformation()
    major = int(cv2.__version__.split(".")[0])
    if major >= 5 and platform.machine() == "aarch64":
        yield Finding(
            "opencv",
            "warning",
            cv2.__version__,
            "4.11 to 4.x: 5.0 crashes on aarch64 in a plain resize",
            "pip install 'opencv-python-headless>=4.11,<5'",
        )
    else:
        yield Finding("opencv", "ok", cv2.__version__, "images, video and cameras")
    jetson = is_jetson(root)
    if re.search(r"GStreamer:\s+YES", build):
        yield Finding("opencv GStreamer", "ok", "built in", "csi:// and gst:// sources")
    else:
        yield Finding(
            "opencv GStreamer",
            "missing" if jetson else "warning",
            "not built in, as in every wheel of pip",
            "csi:// and gst:// sources",
            "use the system's OpenCV: pip uninstall the wheel in a venv made with "
            "--system-site-packages",
        )
    if re.search(r"GUI:\s+NONE", build):
        yield Finding(
            "opencv windows",
            "warning",
            "headless build",
            "the window sink",
            "pip uninstall opencv-python-headless; pip install 'edgeseg[window]'; or use mjpeg://",
        )
    else:
        yield Finding("opencv windows", "ok", "built in", "the window sink")


def _runtimes() -> Iterator[Finding]:
    for name in BACKENDS:
        package = missing_package(name)
        if package is None:
            found = version_of(name) or "installed"
            yield Finding(f"runtime {name}", "ok", found, f"--backend {name}")
        else:
            yield Finding(
                f"runtime {name}",
                "missing",
                f"no package {package}",
                f"--backend {name}",
                f"pip install 'edgeseg[{name}]'",
            )


def _driver() -> Finding:
    needed = "TensorRT and CUDA memory"
    cure = (
        "on a Jetson run outside a container or with the nvidia runtime; on a PC install a driver"
    )
    try:
        library = ctypes.CDLL(CUDA_LIBRARY)
    except OSError:
        return Finding("CUDA driver", "warning", f"no {CUDA_LIBRARY}", needed, cure)
    status = library.cuInit(0)
    if status != 0:
        return Finding("CUDA driver", "warning", f"cuInit gives error {status}", needed, cure)
    version, count = ctypes.c_int(0), ctypes.c_int(0)
    library.cuDriverGetVersion(ctypes.byref(version))
    library.cuDeviceGetCount(ctypes.byref(count))
    major, minor = version.value // 1000, version.value % 1000 // 10
    found = f"CUDA {major}.{minor}, {count.value} device(s)"
    if count.value == 0:
        return Finding("CUDA driver", "warning", found, needed, cure)
    return Finding("CUDA driver", "ok", found, needed)


def _tensorrt(root: Path) -> Finding:
    found = version_of("tensorrt")
    if found is not None:
        return Finding("TensorRT", "ok", found, "engines on NVIDIA GPUs")
    cure = "JetPack brings it: make the venv with --system-site-packages" if is_jetson(root) else ""
    status = "missing" if is_jetson(root) else "warning"
    return Finding("TensorRT", status, "not installed", "engines on NVIDIA GPUs", cure)


def _board(root: Path) -> Finding:
    found = fingerprint(root)
    name = board(root) or found["cpu"] or found["architecture"]
    if not is_jetson(root):
        return Finding(
            "board", "ok", f"{name}, no Jetson", "any Linux machine runs the CPU backends"
        )
    if found["l4t"] is None:
        return Finding(
            "board",
            "warning",
            f"{name}, L4T release unknown",
            "/etc/nv_tegra_release, which names the JetPack",
            "in a container mount /etc/nv_tegra_release",
        )
    if int(found["l4t"].split(".")[0]) < 36:
        return Finding(
            "board",
            "warning",
            f"{name}, L4T {found['l4t']}",
            "L4T 36 (JetPack 6), the first with Python 3.10",
            "flash JetPack 6 or newer",
        )
    mode = found["power_mode"] or "unknown"
    return Finding("board", "ok", f"{name}, L4T {found['l4t']}, power mode {mode}", "JetPack 6")


def _memory(root: Path) -> Finding:
    needed = f"{MEMORY_BYTES >> 30} GiB free"
    match = re.search(r"MemAvailable:\s*(\d+) kB", _read(root / "proc/meminfo"))
    if match is None:
        return Finding("memory", "warning", "unavailable", needed, "")
    free = int(match[1]) * 1024
    found = f"{free / (1 << 30):.1f} GiB free"
    if free >= MEMORY_BYTES:
        return Finding("memory", "ok", found, needed)
    return Finding("memory", "warning", found, needed, "close other programs or the desktop")


def _disk(folder: Path) -> Finding:
    needed = f"{DISK_BYTES >> 30} GiB free for bundles, engines and reports"
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding("disk", "warning", f"{folder}: {error.strerror}", needed, "use a folder")
    found = f"{free / (1 << 30):.1f} GiB free in {folder}"
    if free >= DISK_BYTES:
        return Finding("disk", "ok", found, needed)
    return Finding("disk", "warning", found, needed, "free some space")


def _zoo(zoo: Path) -> Iterator[Finding]:
    names = zoo_names(zoo)
    if not names:
        yield Finding("zoo", "warning", "no bundle", "the shipped models", "install edgeseg again")
    for name in names:
        try:
            bundle = read_bundle(zoo / name)
        except EdgesegError as error:
            yield Finding(
                f"zoo {name}", "missing", str(error), "an intact bundle", "install edgeseg again"
            )
        else:
            found = f"{bundle.precision}, {bundle.digest[:12]}"
            yield Finding(f"zoo {name}", "ok", found, "an intact bundle")


def version_of(package: str) -> str | None:
    """Return an installed package's version without importing it."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
