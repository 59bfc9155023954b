"""What `doctor` looks at on a Jetson: release, TensorRT, power mode, clocks, memory, cameras.

Every check takes the file system's root, so that trees of other machines can be looked at.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

from edgeseg.core.packages import is_installed
from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.cuda.gpu import CUDA_LIBRARY, DRIVER_CURE, find_gpu
from edgeseg.runtime.telemetry import board, fingerprint, is_jetson
from edgeseg.runtime.telemetry.clocks import ClockSensors
from edgeseg.runtime.telemetry.readings import read_kib, read_text

GIB = 1 << 30
MEMORY_BYTES = 1 * GIB
# TensorRT's builder tries kernels in scratch memory; with less in all it is ended by the system.
BUILD_BYTES = 4 * GIB
# First L4T release of each JetPack, newest first: NVIDIA's JetPack archive.
JETPACKS = (
    ((39, 2), "7.2"),
    ((38, 4), "7.1"),
    ((38, 2), "7.0"),
    ((36, 5), "6.2.2"),
    ((36, 4, 4), "6.2.1"),
    ((36, 4, 3), "6.2"),
    ((36, 4), "6.1"),
    ((36, 3), "6.0"),
    ((36, 0), "6.0 preview"),
    ((34, 1), "5"),
    ((32, 1), "4"),
)
OLDEST_L4T = 36
TRTEXEC = "usr/src/tensorrt/bin/trtexec"


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


def check_board(root: Path) -> Iterator[Finding]:
    """Look at what the board itself brings."""
    yield _release(root)
    yield _driver()
    yield _tensorrt(root)
    yield _trtexec(root)
    if is_jetson(root):
        yield _power_mode(root)
        yield _clocks(root)
        yield _swap(root)
    yield _memory(root)
    yield _cameras(root)


def jetpack(l4t: str) -> str | None:
    """Return the JetPack of an L4T release such as "36.4.3", None where it is unknown."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", l4t))
    return next((name for first, name in JETPACKS if numbers >= first), None)


def _release(root: Path) -> Finding:
    facts = fingerprint(root)
    name = board(root) or facts["cpu"] or facts["architecture"]
    if not is_jetson(root):
        return Finding(
            "board", "ok", f"{name}, no Jetson", "any Linux machine runs the CPU backends"
        )
    needed = "L4T 36 (JetPack 6), the first with Python 3.10"
    if facts["l4t"] is None:
        return Finding(
            "board",
            "warning",
            f"{name}, L4T release unknown",
            "/etc/nv_tegra_release, which names the JetPack",
            "in a container mount /etc/nv_tegra_release",
        )
    l4t = f"{name}, L4T {facts['l4t']}, JetPack {jetpack(facts['l4t']) or 'unknown'}"
    if int(facts["l4t"].split(".")[0]) >= OLDEST_L4T:
        return Finding("board", "ok", l4t, needed)
    if re.search(r"orin|thor", name, re.IGNORECASE):
        return Finding("board", "warning", l4t, needed, "flash JetPack 6 or newer")
    return Finding(
        "board",
        "missing",
        l4t,
        needed,
        "no JetPack after this one exists for the board: edgeseg needs an Orin or a Thor",
    )


def _driver() -> Finding:
    needed = "TensorRT and CUDA memory"
    try:
        gpu = find_gpu(CUDA_LIBRARY)
    except BackendUnavailable as error:
        return Finding("CUDA driver", "warning", str(error).split(";")[0], needed, DRIVER_CURE)
    return Finding("CUDA driver", "ok", f"CUDA {gpu.cuda}, {gpu.name}, SM {gpu.sm}", needed)


def _tensorrt(root: Path) -> Finding:
    needed = "engines on NVIDIA GPUs"
    if is_installed("tensorrt"):
        # Looked for, not imported: without a driver its runtime ends the process.
        spec = importlib.util.find_spec("tensorrt")
        place = Path(spec.origin).parent if spec is not None and spec.origin else None
        try:
            version = importlib.metadata.version("tensorrt")
        except importlib.metadata.PackageNotFoundError:
            version = "version unknown"
        return Finding("TensorRT", "ok", f"{version} in {place}", needed)
    if not is_jetson(root):
        return Finding(
            "TensorRT", "warning", "not installed", needed, "pip install 'edgeseg[tensorrt]'"
        )
    system = sorted(root.glob("usr/lib/python3*/dist-packages/tensorrt"))
    if system:
        return Finding(
            "TensorRT",
            "missing",
            f"in {system[0]}, which this Python does not see",
            needed,
            "make the venv again with python3 -m venv --system-site-packages",
        )
    return Finding(
        "TensorRT", "missing", "not installed", needed, "sudo apt-get install python3-libnvinfer"
    )


def _trtexec(root: Path) -> Finding:
    needed = "a second opinion on a graph or an engine; edgeseg itself does without"
    for place in (root / TRTEXEC, shutil.which("trtexec")):
        if place and Path(place).is_file():
            return Finding("trtexec", "ok", str(place), needed)
    cure = "sudo apt-get install libnvinfer-bin" if is_jetson(root) else "not needed on a PC"
    return Finding("trtexec", "warning", f"neither /{TRTEXEC} nor on the PATH", needed, cure)


def _power_mode(root: Path) -> Finding:
    needed = "the mode that figures were or will be taken in"
    facts = fingerprint(root)
    if facts["power_mode"] is None:
        return Finding(
            "power mode",
            "warning",
            "unknown: no /var/lib/nvpmodel/status",
            needed,
            "sudo nvpmodel -q; in a container mount /var/lib/nvpmodel",
        )
    name = facts["power_mode_name"] or "name unknown"
    return Finding("power mode", "ok", f"{facts['power_mode']} ({name})", needed)


def _clocks(root: Path) -> Finding:
    clocks = ClockSensors(root).read()
    needed = "locked clocks, for figures that repeat"
    gpu = "GPU clock unknown" if clocks.gpu_hz is None else f"GPU {clocks.gpu_hz / 1e6:.0f} MHz"
    if clocks.gpu_locked:
        return Finding("clocks", "ok", f"{gpu}, locked", needed)
    state = "free to change" if clocks.gpu_locked is False else "lock unknown"
    return Finding(
        "clocks", "warning", f"{gpu}, {state}", needed, "before measuring: sudo jetson_clocks"
    )


def _memory(root: Path) -> Finding:
    needed = f"{MEMORY_BYTES // GIB} GiB free"
    free = read_kib(root / "proc/meminfo", "MemAvailable")
    if free is None:
        return Finding("memory", "warning", "unavailable", needed, "mount /proc")
    text = f"{free / GIB:.1f} GiB free"
    if free >= MEMORY_BYTES:
        return Finding("memory", "ok", text, needed)
    return Finding("memory", "warning", text, needed, "close other programs or the desktop")


def _swap(root: Path) -> Finding:
    total, swap = (
        read_kib(root / "proc/meminfo", "MemTotal"),
        read_kib(root / "proc/meminfo", "SwapTotal"),
    )
    needed = f"{BUILD_BYTES // GIB} GiB of memory and swap together, to build an engine"
    if total is None:
        return Finding("swap", "warning", "unavailable", needed, "mount /proc")
    text = f"{(swap or 0) / GIB:.1f} GiB beside {total / GIB:.1f} GiB of memory"
    if total + (swap or 0) >= BUILD_BYTES:
        return Finding("swap", "ok", text, needed)
    return Finding("swap", "warning", text, needed, "add a swap file on an SSD")


def _cameras(root: Path) -> Finding:
    needed = "v4l2:// sources; csi:// ones show here as well"
    devices = sorted((root / "dev").glob("video[0-9]*"))
    if not devices:
        return Finding(
            "cameras",
            "warning",
            "no /dev/video*",
            needed,
            "plug one in; in a container add --device /dev/video0; files and rtsp:// work without",
        )
    names = []
    for device in devices:
        name = read_text(root / "sys/class/video4linux" / device.name / "name")
        names.append(f"/dev/{device.name}" + (f" ({name})" if name else ""))
    return Finding("cameras", "ok", ", ".join(names), needed)
