"""Load and clock of the GPU, clocks of the CPU and the memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeseg.runtime.telemetry.readings import ROOT, read_integer, read_text

# Names of the GPU's device-tree node: Xavier, TX2, Orin, Thor, Nano.
GPU_NODES = ("gv11b", "gp10b", "ga10b", "gb10b", "gpu")
THOR_GPU = "gpu-gpc-0"
MEMORY_DEVFREQ = "bwmgr"
MEMORY_RATE = "sys/kernel/debug/bpmp/debug/clk/emc/rate"


@dataclasses.dataclass(frozen=True)
class Clocks:
    """One look at load and clocks; None where the kernel does not say.

    Attributes:
        gpu_load: share of time the GPU was busy, 0-1; Thor's kernel does not say.
        gpu_hz: GPU clock.
        gpu_locked: whether its lowest and highest allowed clock are one, as jetson_clocks sets.
        cpu_hz: fastest CPU clock of now.
        cpu_max_hz: fastest clock the CPUs may take in this power mode.
        memory_hz: memory clock; on Orin and before only root may read it.
    """

    gpu_load: float | None
    gpu_hz: int | None
    gpu_locked: bool | None
    cpu_hz: int | None
    cpu_max_hz: int | None
    memory_hz: int | None


class ClockSensors:
    """Finds the files once and reads them again and again."""

    def __init__(self, root: Path = ROOT) -> None:
        devfreq = root / "sys/class/devfreq"
        self._gpu = _gpu(devfreq)
        self._cpus = sorted(
            (root / "sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq")
        )
        self._memory = [devfreq / MEMORY_DEVFREQ / "cur_freq", root / MEMORY_RATE]

    def read(self) -> Clocks:
        """Return load and clocks now."""
        gpu, load, lowest, highest = self._gpu, None, None, None
        if gpu is not None:
            load = read_integer(gpu / "device/load")
            lowest, highest = read_integer(gpu / "min_freq"), read_integer(gpu / "max_freq")
        memory = (read_integer(path) for path in self._memory)
        return Clocks(
            gpu_load=None if load is None else load / 1000,
            gpu_hz=None if gpu is None else read_integer(gpu / "cur_freq"),
            gpu_locked=None if lowest is None or highest is None else lowest == highest,
            # An `off` core has no file or answers with an error.
            cpu_hz=_largest_khz(self._cpus),
            cpu_max_hz=_largest_khz([path.with_name("scaling_max_freq") for path in self._cpus]),
            memory_hz=next((rate for rate in memory if rate), None),
        )


def _gpu(devfreq: Path) -> Path | None:
    for device in sorted(devfreq.glob("*")):
        if device.name == THOR_GPU or read_text(device / "device/of_node/name") in GPU_NODES:
            return device
    return None


def _largest_khz(paths: list[Path]) -> int | None:
    found = [value for path in paths if (value := read_integer(path)) is not None]
    return max(found) * 1000 if found else None
