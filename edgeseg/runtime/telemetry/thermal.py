"""Temperatures by zone, and whether heat or current slows the machine down."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from edgeseg.runtime.telemetry.readings import ROOT, read_integer, read_text

COLDEST_MC = -100_000  # a power-gated block reads -256 degrees
# Cooling devices that slow the machine; a fan or an offset setting is one too and does not.
SLOWING = re.compile(r"throttle|cpufreq|devfreq|hot-surface|^Processor$|powerclamp", re.IGNORECASE)


class ThermalZones:
    """Finds the zones once and reads them again and again."""

    def __init__(self, root: Path = ROOT) -> None:
        self._files = _zones(root) or _hwmon(root)

    def read(self) -> dict[str, float] | None:
        """Return degrees Celsius by zone; a zone whose block is switched off is left out."""
        found = {}
        for name, path in self._files.items():
            value = read_integer(path)
            if value is not None and value > COLDEST_MC:
                found[name] = value / 1000
        return found or None


def temperature_c(root: Path = ROOT) -> dict[str, float] | None:
    """Return degrees Celsius by zone now."""
    return ThermalZones(root).read()


@dataclasses.dataclass(frozen=True)
class Throttle:
    """What slows the machine.

    Attributes:
        active: cooling devices at work now, by name.
        events: over-current and thermal events by name, counted since the watch last began.
    """

    active: tuple[str, ...]
    events: Mapping[str, int]


class ThrottleWatch:
    """Counts throttling events from its making on, or from the last `begin`."""

    def __init__(self, root: Path = ROOT) -> None:
        self._cooling: dict[str, Path] = {}
        for device in sorted((root / "sys/class/thermal").glob("cooling_device*")):
            kind = read_text(device / "type")
            if kind and SLOWING.search(kind):
                self._cooling[_free(kind, self._cooling)] = device / "cur_state"
        self._counters = _event_counters(root)
        self.begin()

    def begin(self) -> None:
        """Count events from now on."""
        self._before = {name: read_integer(path) for name, path in self._counters.items()}

    def read(self) -> Throttle | None:
        """Return what slows the machine; None where nothing tells."""
        states = {name: read_integer(path) for name, path in self._cooling.items()}
        # A state of -1 is powerclamp's "not in use".
        active = tuple(sorted({kind for kind, state in states.items() if (state or 0) > 0}))
        events = {}
        for name, path in self._counters.items():
            now, before = read_integer(path), self._before[name]
            if now is not None and before is not None:
                events[name] = now - before
        if not events and all(state is None for state in states.values()):
            return None
        return Throttle(active, events)


def _zones(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for zone in sorted((root / "sys/devices/virtual/thermal").glob("thermal_zone*")):
        name = read_text(zone / "type")
        if name:
            found[_free(name, found)] = zone / "temp"
    return found


def _hwmon(root: Path) -> dict[str, Path]:
    """A PC whose firmware shows no zones still has its CPU's own sensor."""
    found: dict[str, Path] = {}
    for device in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        chip = read_text(device / "name")
        if chip not in ("coretemp", "k10temp", "zenpower", "cpu_thermal"):
            continue
        for path in sorted(device.glob("temp*_input")):
            label = read_text(path.with_name(path.name.replace("_input", "_label"))) or path.stem
            found[_free(f"{chip} {label}", found)] = path
    return found


def _event_counters(root: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for device in sorted((root / "sys/class/hwmon").glob("hwmon*")):
        # Orin and Thor: under-voltage, average and instantaneous over-current.
        if read_text(device / "name") == "soctherm_oc":
            for path in sorted(device.glob("oc*_event_cnt")):
                found[path.name.removesuffix("_event_cnt")] = path
    # The package's count stands under each of its cores; the first core's is enough.
    path = root / "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count"
    if path.is_file():
        found["package_throttle"] = path
    return found


def _free(name: str, taken: Mapping[str, object]) -> str:
    """Return the name, numbered when it is taken: a PC may have two zones called acpitz."""
    number, free = 1, name
    while free in taken:
        number += 1
        free = f"{name} {number}"
    return free
