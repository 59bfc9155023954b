"""Telemetry: watches the machine during a run, in one thread and in bounded memory."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.report import Memory
from edgeseg.runtime.closeable import Closeable
from edgeseg.runtime.telemetry.board import fingerprint, is_jetson
from edgeseg.runtime.telemetry.clocks import Clocks, ClockSensors
from edgeseg.runtime.telemetry.energy import EnergyCurve
from edgeseg.runtime.telemetry.memory import (
    nvmap_client_bytes,
    peak_resident_bytes,
    pss_bytes,
    read_memory,
)
from edgeseg.runtime.telemetry.power import Power, PowerSensors
from edgeseg.runtime.telemetry.readings import ROOT
from edgeseg.runtime.telemetry.thermal import ThermalZones, Throttle, ThrottleWatch

SAMPLE_S = 0.5
PSS_EVERY = 10  # samples; the kernel walks every page of the process for one PSS
JOIN_S = 2.0
DROP = "largest drop of MemAvailable since before the backend was opened"
RESIDENT = "VmHWM, peak resident set of the process"


@dataclasses.dataclass(frozen=True)
class Sample:
    """One look at the machine; None where it cannot be measured.

    Attributes:
        at_ns: when, by the clock of the Telemetry.
        memory_drop_bytes: MemAvailable's fall since the Telemetry was made; negative after a rise.
        pss_bytes: this process's share of memory, at most a few seconds old.
        power: watts by rail and in all.
        temperature_c: degrees by zone.
        clocks: load and clocks.
        throttle: what slows the machine.
    """

    at_ns: int
    memory_drop_bytes: int | None
    pss_bytes: int | None
    power: Power | None
    temperature_c: Mapping[str, float] | None
    clocks: Clocks
    throttle: Throttle | None


@dataclasses.dataclass(frozen=True)
class Measurement:
    """What was measured of the machine during a run; None where it cannot be measured.

    Attributes:
        machine: what must be equal for two reports to compare.
        memory: peak memory.
        power_w: mean watts by rail.
        temperature_c: highest degrees by zone.
        hardware: means of load and clocks, and what slowed the machine; JSON.
        energy: watts over time, for the energy of a stretch of the run.
    """

    machine: Mapping[str, Any]
    memory: Memory | None
    power_w: Mapping[str, float] | None
    temperature_c: Mapping[str, float] | None
    hardware: Mapping[str, Any] | None = None
    energy: EnergyCurve | None = None


class Telemetry(Closeable):
    """Watches memory, power, heat and clocks between its making and `measure`.

    Peak memory: on a Jetson, where CPU and GPU share one memory, the headline is the largest drop
    of MemAvailable since this was made, so make it before the backend is opened. Elsewhere it is
    the kernel's own peak of the resident set, which misses no moment.
    Power, load and clocks are means, temperature is the highest value seen and throttling whatever
    was seen, all since `begin`: loading a network and building an engine are no part of the run.

    Args:
        root: the file system's root, another one in tests.
        sample_s: time between two samples.
        clock: nanoseconds that only go forward, the loop's own.
    """

    def __init__(
        self,
        root: Path = ROOT,
        sample_s: float = SAMPLE_S,
        clock: Callable[[], int] = time.perf_counter_ns,
    ) -> None:
        self._root = root
        self._sample_s = sample_s
        self._clock = clock
        self._power_sensors = PowerSensors(root)
        self._zones = ThermalZones(root)
        self._throttling = ThrottleWatch(root)
        self._clock_sensors = ClockSensors(root)
        self._before = read_memory(root)
        self._lowest = self._before.available
        self._most_nvmap = self._before.nvmap
        self._pss: int | None = None
        self._n = 0
        self._means: dict[str, _Mean] = {}
        self._hottest: dict[str, float] = {}
        self._slowed: set[str] = set()
        self._energy = EnergyCurve(self._power_sensors.method)
        self._latest: Sample | None = None
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = threading.Thread(
            target=self._run, name="edgeseg-telemetry"
        )
        self._thread.start()

    def begin(self) -> None:
        """Forget means, highest temperatures and throttling so far; memory goes on from the start.

        Called when the network is loaded and warm.
        """
        # Energy counters give the mean since the last reading, which must not reach back further.
        self._sample()
        with self._lock:
            self._means = {}
            self._hottest = {}
            self._slowed = set()
            self._throttling.begin()

    def latest(self) -> Sample:
        """Return the newest sample; takes one when there is none yet."""
        return self._latest or self._sample()

    def measure(self) -> Measurement:
        """Return the figures so far."""
        sample = self._sample()
        with self._lock:
            means = {name: mean.value for name, mean in self._means.items()}
            return Measurement(
                machine=fingerprint(self._root),
                memory=self._memory(),
                power_w=_under("power", means) or None,
                temperature_c=dict(self._hottest) or None,
                hardware=self._hardware(means, sample.throttle),
                energy=self._energy.copy() if self._energy.method else None,
            )

    def close(self) -> None:
        """Join the sampling thread."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)
            self._thread = None

    def _memory(self) -> Memory | None:
        readings = {
            "peak_resident_bytes": peak_resident_bytes(self._root),
            "pss_bytes": pss_bytes(self._root),
            "mem_available_drop_bytes": _minus(self._before.available, self._lowest),
            "nvmap_rise_bytes": _minus(self._most_nvmap, self._before.nvmap),
            "nvmap_process_bytes": nvmap_client_bytes(self._root),
        }
        details = {name: value for name, value in readings.items() if value is not None}
        if is_jetson(self._root) and "mem_available_drop_bytes" in details:
            return Memory(DROP, details["mem_available_drop_bytes"], details)
        peak = details.get("peak_resident_bytes")
        return None if peak is None else Memory(RESIDENT, peak, details)

    def _hardware(self, means: Mapping[str, float], throttle: Throttle | None) -> dict[str, Any]:
        latest = self._clock_sensors.read()
        return {
            "gpu_load": means.get("gpu_load"),
            "gpu_clock_hz": means.get("gpu_hz"),
            "gpu_clock_locked": latest.gpu_locked,
            "cpu_clock_hz": means.get("cpu_hz"),
            "cpu_clock_max_hz": latest.cpu_max_hz,
            "memory_clock_hz": latest.memory_hz,
            "power_method": self._power_sensors.method if "power_total" in means else None,
            "power_total_w": means.get("power_total"),
            "throttling": None
            if throttle is None
            else {"slowed_by": sorted(self._slowed), "events": dict(throttle.events)},
        }

    def _run(self) -> None:
        while not self._stop.wait(self._sample_s):
            self._sample()

    def _sample(self) -> Sample:
        with self._lock:
            now = self._clock()
            memory = read_memory(self._root)
            if self._n % PSS_EVERY == 0:
                self._pss = pss_bytes(self._root)
            self._n += 1
            sample = Sample(
                at_ns=now,
                memory_drop_bytes=_minus(self._before.available, memory.available),
                pss_bytes=self._pss,
                power=self._power_sensors.read(now),
                temperature_c=self._zones.read(),
                clocks=self._clock_sensors.read(),
                throttle=self._throttling.read(),
            )
            if memory.available is not None and self._lowest is not None:
                self._lowest = min(self._lowest, memory.available)
            if memory.nvmap is not None and self._most_nvmap is not None:
                self._most_nvmap = max(self._most_nvmap, memory.nvmap)
            self._count(sample)
            self._latest = sample
            return sample

    def _count(self, sample: Sample) -> None:
        values: dict[str, float | None] = {
            name: getattr(sample.clocks, name) for name in ("gpu_load", "gpu_hz", "cpu_hz")
        }
        if sample.power is not None:
            values["power_total"] = sample.power.total_w
            values |= {f"power/{rail}": watts for rail, watts in sample.power.rails_w.items()}
            self._energy.add(sample.at_ns, sample.power.total_w)
        for name, value in values.items():
            if value is not None:
                self._means.setdefault(name, _Mean()).add(float(value))
        for zone, degrees in (sample.temperature_c or {}).items():
            self._hottest[zone] = max(degrees, self._hottest.get(zone, degrees))
        if sample.throttle is not None:
            self._slowed.update(sample.throttle.active)


class _Mean:
    def __init__(self) -> None:
        self._n = 0
        self._sum = 0.0

    def add(self, value: float) -> None:
        self._n += 1
        self._sum += value

    @property
    def value(self) -> float:
        return self._sum / self._n


def _minus(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else a - b


def _under(prefix: str, values: Mapping[str, float]) -> dict[str, float]:
    start = f"{prefix}/"
    return {
        name.removeprefix(start): value for name, value in values.items() if name.startswith(start)
    }
