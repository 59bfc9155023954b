"""Which machine this is: board, system release, power mode, versions."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.runtime.telemetry.readings import ROOT, read_text

RUNTIMES = (
    "onnxruntime",
    "openvino",
    "tensorrt",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
)


def is_jetson(root: Path = ROOT) -> bool:
    """Return whether this is an NVIDIA Jetson."""
    return (root / "etc/nv_tegra_release").is_file() or "jetson" in (board(root) or "").lower()


def board(root: Path = ROOT) -> str | None:
    """Return the board's own name from the device tree, None on a PC."""
    return read_text(root / "proc/device-tree/model") or None


def fingerprint(root: Path = ROOT) -> dict[str, Any]:
    """Return what must be equal for two reports to compare in absolute figures."""
    release = read_text(root / "etc/nv_tegra_release")
    mode = _power_mode(root)
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "board": board(root),
        "cpu": _cpu(root),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "l4t": _l4t(release) if release else None,
        "power_mode": mode,
        "power_mode_name": _power_mode_name(root, mode) if mode else None,
        "python": platform.python_version(),
        "packages": _versions(),
    }


def _cpu(root: Path) -> str | None:
    text = read_text(root / "proc/cpuinfo") or ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def _l4t(release: str) -> str | None:
    match = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", release)
    return f"{match[1]}.{match[2]}" if match else None


def _power_mode(root: Path) -> str | None:
    match = re.search(r"pmode:(\w+)", read_text(root / "var/lib/nvpmodel/status") or "")
    return match[1] if match else None


def _power_mode_name(root: Path, mode: str) -> str | None:
    """Return a mode's name: the same number means 15W on one board and MAXN on another."""
    for line in (read_text(root / "etc/nvpmodel.conf") or "").splitlines():
        match = re.match(r"\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", line)
        if match and mode.isdecimal() and int(match[1]) == int(mode):
            return match[2]
    return None


def _versions() -> Mapping[str, str]:
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
