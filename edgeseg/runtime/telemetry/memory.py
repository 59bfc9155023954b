"""Memory of the machine and of this process.

On a Jetson CPU and GPU share one memory, so the headline is how far MemAvailable fell since before
the backend was opened; the process's own figures leave out what the driver took for it.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path

from edgeseg.runtime.telemetry.readings import ROOT, read_kib, read_text

NVMAP_CLIENTS = "sys/kernel/debug/nvmap/iovmm/clients"


@dataclasses.dataclass(frozen=True)
class MemoryReading:
    """One look at memory, in bytes; None where the kernel does not say.

    Attributes:
        available: MemAvailable of the whole machine.
        nvmap: NvMapMemUsed, what the GPU driver holds for everyone; absent on Thor and on a PC.
    """

    available: int | None
    nvmap: int | None


def read_memory(root: Path = ROOT) -> MemoryReading:
    """Return the machine's memory now."""
    meminfo = root / "proc/meminfo"
    return MemoryReading(read_kib(meminfo, "MemAvailable"), read_kib(meminfo, "NvMapMemUsed"))


def pss_bytes(root: Path = ROOT) -> int | None:
    """Return this process's share of memory now: shared pages divided among their users."""
    return read_kib(root / "proc/self/smaps_rollup", "Pss")


def peak_resident_bytes(root: Path = ROOT) -> int | None:
    """Return the kernel's own peak of this process's resident set."""
    return read_kib(root / "proc/self/status", "VmHWM")


def nvmap_client_bytes(root: Path = ROOT, pid: int | None = None) -> int | None:
    """Return what the GPU driver holds for this process; only root may read it.

    Args:
        root: the file system's root.
        pid: the process, this one when None.
    """
    wanted = os.getpid() if pid is None else pid
    for line in (read_text(root / NVMAP_CLIENTS) or "").splitlines():
        # CLIENT PROCESS PID SIZE, as in `user  python3  4711  123456K`
        match = re.fullmatch(r"\s*\S+\s+\S+\s+(\d+)\s+(\d+)K\s*", line)
        if match and int(match[1]) == wanted:
            return int(match[2]) * 1024
    return None
