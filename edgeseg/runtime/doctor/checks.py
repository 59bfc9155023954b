"""Finds what this machine can and cannot do; each finding names its cure."""

from __future__ import annotations

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
from edgeseg.errors import BackendUnavailable, EdgesegError, UsageError
from edgeseg.runtime.backends.open import BACKENDS, cure, missing_package
from edgeseg.runtime.cuda.driver import CudaDriver, check_memory
from edgeseg.runtime.cuda.gpu import CUDA_LIBRARY, find_gpu
from edgeseg.runtime.doctor.jetson import Finding, check_board
from edgeseg.runtime.telemetry import ROOT, is_jetson

OLDEST_PYTHON = (3, 10)
# An engine, its timing cache and the files beside it.
DISK_BYTES = 1 << 30
OPENCV_WHEELS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


def examine(
    root: Path = ROOT,
    *,
    folder: Path = Path(),
    zoo: Path = ZOO,
    gpu_library: str = CUDA_LIBRARY,
) -> tuple[Finding, ...]:
    """Look at everything a command may need.

    TensorRT is looked for but not loaded: without a CUDA driver its runtime ends the process.

    Args:
        root: the file system's root, another one in tests.
        folder: where files will be written; its free space is looked at.
        zoo: the folder of shipped bundles.
        gpu_library: the CUDA driver's library, another one in tests.
    """
    return (
        _python(),
        *_opencv(root),
        *_runtimes(),
        *check_board(root),
        *_gpu_memory(gpu_library),
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
    system = [] if not jetson else sorted(root.glob("usr/lib/python3*/dist-packages/cv2*"))
    if system and wheels:
        yield Finding(
            "opencv shadowed",
            "missing",
            f"{wheels[0]} {version_of(wheels[0])} hides JetPack's own in {system[0]}",
            "JetPack's OpenCV, which knows GStreamer and so the CSI cameras",
            f"pip uninstall {' '.join(wheels)}",
        )
    # It imports OpenCV, which is known to be there only now.
    from edgeseg.runtime.sources.gst_device import has_bindings

    if has_bindings():
        yield Finding("gstreamer bindings", "ok", "found", "csi:// and gst:// with limits")
    else:
        yield Finding(
            "gstreamer bindings",
            "warning",
            "not found",
            "csi:// and gst:// with a limit for every wait, which OpenCV before 4.9 lacks",
            "apt-get install python3-gi gir1.2-gstreamer-1.0, venv --system-site-packages",
        )
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
        try:
            package = missing_package(name)
        except UsageError as error:
            # An installed package's backend that cannot be loaded.
            yield Finding(f"runtime {name}", "missing", str(error), f"--backend {name}")
            continue
        if package is None:
            found = version_of(name) or "installed"
            yield Finding(f"runtime {name}", "ok", found, f"--backend {name}")
        else:
            yield Finding(
                f"runtime {name}",
                "missing",
                f"no package {package}",
                f"--backend {name}",
                cure(name, package),
            )


def _gpu_memory(library: str) -> Iterator[Finding]:
    """Use GPU memory as a frame does; nothing where there is no driver, which others say."""
    try:
        gpu = find_gpu(library)
    except BackendUnavailable:
        return
    needed = "device memory, which the tensorrt backend copies frames through"
    try:
        check_memory(CudaDriver(library))
    except EdgesegError as error:
        yield Finding(
            "gpu memory", "missing", f"{gpu.name}, CUDA {gpu.cuda}: {error}", needed,
            "close other programs that use the GPU; in a container give --runtime nvidia; reboot",
        )  # fmt: skip
    else:
        found = f"{gpu.name}, CUDA {gpu.cuda}: allocated, copied and freed"
        yield Finding("gpu memory", "ok", found, needed)


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
