"""Telemetry: what the machine says about itself and about this process. Absent is None, never 0."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
import re
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.report import Memory
from edgeseg.target.resource import Resource

ROOT = Path("/")
SAMPLE_S = 0.5
JOIN_S = 2.0
DROP = "largest drop of MemAvailable since before the backend was opened"
RESIDENT = "VmHWM, peak resident set of the process"
RUNTIMES = (
    "onnxruntime",
    "openvino",
    "tensorrt",
    "numpy",
    "opencv-python-headless",
    "opencv-python",
)


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What was measured of the machine during a run; None where it cannot be measured."""

    machine: Mapping[str, Any]
    memory: Memory | None
    power_w: Mapping[str, float] | None
    temperature_c: Mapping[str, float] | None


class Telemetry(Resource):
    """Watches memory, power and temperature between its making and `measure`.

    Peak memory: on a Jetson, where CPU and GPU share one memory, the headline is the largest drop
    of MemAvailable since this was made, so make it before the backend is opened. Elsewhere it is
    the kernel's own peak of the resident set, which misses no moment.
    Power is the mean over the run, temperature the highest value seen.

    Args:
        root: the file system's root, another one in tests.
        sample_s: time between two samples.
    """

    def __init__(self, root: Path = ROOT, sample_s: float = SAMPLE_S) -> None:
        self._root = root
        self._sample_s = sample_s
        self._baseline = _kib(root / "proc/meminfo", "MemAvailable")
        self._lowest = self._baseline
        self._power: dict[str, list[float]] = {}
        self._hottest: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="edgeseg-telemetry"
        )
        self._thread.start()

    def measure(self) -> Measurement:
        """Return the figures so far."""
        self._sample()
        power = {rail: sum(values) / len(values) for rail, values in self._power.items()}
        return Measurement(
            machine=fingerprint(self._root),
            memory=self._memory(),
            power_w=power or None,
            temperature_c=dict(self._hottest) or None,
        )

    def close(self) -> None:
        """Join the sampling thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
            self._thread = None

    def _memory(self) -> Memory | None:
        details = {}
        peak = _kib(self._root / "proc/self/status", "VmHWM")
        if peak is not None:
            details["peak_resident_bytes"] = peak
        share = pss_bytes(self._root)
        if share is not None:
            details["pss_bytes"] = share
        if self._baseline is not None and self._lowest is not None:
            details["mem_available_drop_bytes"] = self._baseline - self._lowest
        if is_jetson(self._root) and "mem_available_drop_bytes" in details:
            return Memory(DROP, details["mem_available_drop_bytes"], details)
        return None if peak is None else Memory(RESIDENT, peak, details)

    def _run(self) -> None:
        while not self._stop.wait(self._sample_s):
            self._sample()

    def _sample(self) -> None:
        available = _kib(self._root / "proc/meminfo", "MemAvailable")
        if available is not None and self._lowest is not None:
            self._lowest = min(self._lowest, available)
        for rail, watts in (power_w(self._root) or {}).items():
            # Written by one thread at a time: measure is called when the run is over.
            self._power.setdefault(rail, []).append(watts)
        for zone, degrees in (temperature_c(self._root) or {}).items():
            self._hottest[zone] = max(degrees, self._hottest.get(zone, degrees))


def pss_bytes(root: Path = ROOT) -> int | None:
    """Return this process's share of memory now: shared pages divided among their users."""
    return _kib(root / "proc/self/smaps_rollup", "Pss")


def is_jetson(root: Path = ROOT) -> bool:
    """Return whether this is an NVIDIA Jetson."""
    return (root / "etc/nv_tegra_release").is_file() or "jetson" in (board(root) or "").lower()


def board(root: Path = ROOT) -> str | None:
    """Return the board's own name from the device tree, None on a PC."""
    text = _text(root / "proc/device-tree/model")
    return text.strip("\0\n ") or None if text else None


def fingerprint(root: Path = ROOT) -> dict[str, Any]:
    """Return what must be equal for two reports to compare in absolute figures."""
    release = _text(root / "etc/nv_tegra_release")
    return {
        "system": platform.system(),
        "architecture": platform.machine(),
        "board": board(root),
        "cpu": _cpu(root),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "l4t": _l4t(release) if release else None,
        "power_mode": _power_mode(root),
        "python": platform.python_version(),
        "packages": _versions(),
    }


def temperature_c(root: Path = ROOT) -> dict[str, float] | None:
    """Return degrees Celsius by thermal zone; a zone whose block is switched off is left out."""
    found = {}
    for zone in sorted((root / "sys/devices/virtual/thermal").glob("thermal_zone*")):
        name, text = _text(zone / "type"), _text(zone / "temp")
        # A power-gated block reads -256 degrees or not at all.
        if name and text and re.fullmatch(r"-?\d+\s*", text) and int(text) > -100_000:
            found[name.strip()] = int(text) / 1000
    return found or None


def power_w(root: Path = ROOT) -> dict[str, float] | None:
    """Return watts by rail of the module's INA3221 sensors; module rails, not the wall plug."""
    found = {}
    for device in sorted((root / "sys/bus/i2c/devices").glob("*")):
        if "ina3221" not in (_text(device / "name") or ""):
            continue
        for label_file in sorted(device.glob("hwmon/hwmon*/in[123]_label")):
            label = (_text(label_file) or "").strip()
            channel = label_file.name[2]
            millivolt = _integer(label_file.with_name(f"in{channel}_input"))
            milliampere = _integer(label_file.with_name(f"curr{channel}_input"))
            if label and "NC" not in label and millivolt is not None and milliampere is not None:
                found[label] = millivolt * milliampere / 1e6
    return found or None


def _cpu(root: Path) -> str | None:
    text = _text(root / "proc/cpuinfo") or ""
    match = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1].strip() if match else None


def _l4t(release: str) -> str | None:
    match = re.search(r"R(\d+).*?REVISION:\s*([\d.]+)", release)
    return f"{match[1]}.{match[2]}" if match else None


def _power_mode(root: Path) -> str | None:
    text = _text(root / "var/lib/nvpmodel/status")
    match = re.search(r"pmode:(\w+)", text or "")
    return match[1] if match else None


def _versions() -> Mapping[str, str]:
    found = {}
    for name in RUNTIMES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _kib(path: Path, key: str) -> int | None:
    match = re.search(rf"^{key}:\s*(\d+) kB", _text(path) or "", re.MULTILINE)
    return int(match[1]) * 1024 if match else None


def _integer(path: Path) -> int | None:
    text = _text(path) or ""
    return int(text) if re.fullmatch(r"-?\d+\s*", text) else None


def _text(path: Path) -> str | None:
    try:
        return path.read_text(errors="replace")
    except OSError:
        # Missing, or a block that is switched off: many kernels answer ENODATA or EAGAIN.
        return None
