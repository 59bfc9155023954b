"""Power in watts, by rail, and which of the rails are the total.

Sources: Documentation/hwmon/ina3221.rst and ina238.rst of the kernel, NVIDIA's developer guide
("Platform Power and Performance") for rail names, Documentation/power/powercap for a PC.
A module's sensors see the module; a plug meter reads more, the carrier board and the supply's loss.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from edgeseg.runtime.telemetry.readings import ROOT, read_integer, read_text

# Rails that already are the whole input: POM_5V_IN of Nano and TX1, VDD_IN of TX2, Xavier NX,
# Orin Nano and Orin NX, VIN of Thor. Adding the others to them would count those twice.
INPUT_RAILS = ("VDD_IN", "POM_5V_IN", "VIN")
RAPL_WHOLE = "psys"


@dataclasses.dataclass(frozen=True)
class Power:
    """One reading.

    Attributes:
        rails_w: watts by rail.
        total_w: watts of the whole, by `method`.
        method: which rails make the total.
    """

    rails_w: Mapping[str, float]
    total_w: float
    method: str


class PowerSensors:
    """Finds the sensors once and reads them again and again.

    A rail that cannot be read makes the whole reading None: a total that sometimes lacks a rail
    would be no total.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self._channels = _hwmon_channels(root) or _iio_channels(root)
        self._rapl = {} if self._channels else _rapl_domains(root)
        self._last: tuple[int, Mapping[str, int]] | None = None
        names = list(self._channels or self._rapl)
        whole = [name for name in names if name in (*INPUT_RAILS, RAPL_WHOLE)]
        self._total = whole[:1] or names
        kind = "module sensors, not the wall plug" if self._channels else "RAPL counters of the CPU"
        self.method = f"{' + '.join(self._total)} ({kind})" if names else None

    def read(self, now_ns: int) -> Power | None:
        """Return the power now; with energy counters, the mean since the last call.

        Args:
            now_ns: the clock, which energy counters are divided by.
        """
        if self.method is None:
            return None
        rails = self._rapl_watts(now_ns) if self._rapl else self._channel_watts()
        if rails is None:
            return None
        return Power(rails, sum(rails[name] for name in self._total), self.method)

    def _channel_watts(self) -> dict[str, float] | None:
        rails = {name: channel.watts() for name, channel in self._channels.items()}
        known = {name: watts for name, watts in rails.items() if watts is not None}
        return known if all(name in known for name in self._total) else None

    def _rapl_watts(self, now_ns: int) -> dict[str, float] | None:
        counters = {name: read_integer(path / "energy_uj") for name, path in self._rapl.items()}
        found = {name: value for name, value in counters.items() if value is not None}
        before, self._last = self._last, (now_ns, found)
        if before is None or now_ns <= before[0] or len(found) < len(counters):
            return None
        watts = {}
        for name, value in found.items():
            if name not in before[1]:
                return None
            used = value - before[1][name]
            if used < 0:
                # The counter went round.
                used += read_integer(self._rapl[name] / "max_energy_range_uj") or 0
            watts[name] = max(used, 0) * 1e3 / (now_ns - before[0])
        return watts


def power_w(root: Path = ROOT) -> dict[str, float] | None:
    """Return watts by rail of the module's sensors now; None on a machine without them."""
    reading = PowerSensors(root).read(0)
    return None if reading is None else dict(reading.rails_w)


@dataclasses.dataclass(frozen=True)
class _Channel:
    """One rail: volts times amperes, or a power register; exactly one of the two is there."""

    millivolt: Path | None
    milliampere: Path | None
    power: Path | None
    power_scale: float = 1e-6

    def watts(self) -> float | None:
        if self.power is not None:
            value = read_integer(self.power)
            return None if value is None else value * self.power_scale
        if self.millivolt is None or self.milliampere is None:
            return None
        millivolt, milliampere = read_integer(self.millivolt), read_integer(self.milliampere)
        if millivolt is None or milliampere is None:
            return None
        return millivolt * milliampere / 1e6


def _hwmon_channels(root: Path) -> dict[str, _Channel]:
    """INA3221 (three rails each) and Thor's INA238 (one) as kernels since 5.10 show them."""
    found = {}
    for device in sorted((root / "sys/bus/i2c/devices").glob("*")):
        chip = read_text(device / "name") or ""
        for label_file in sorted(device.glob("hwmon/hwmon*/in[123]_label")):
            label, channel = read_text(label_file) or "", label_file.name[2]
            # NC is not connected. in7, the sum of shunt voltages, is no rail and not looked at.
            enabled = read_integer(label_file.with_name(f"in{channel}_enable")) != 0
            power = label_file.with_name(f"power{channel}_input")
            volts = label_file.with_name(f"in{channel}_input")
            amperes = label_file.with_name(f"curr{channel}_input")
            if not label or "NC" in label or not enabled:
                continue
            if "ina3221" in chip and amperes.is_file():
                found[label] = _Channel(volts, amperes, None)
            elif "ina238" in chip and power.is_file():
                found[label] = _Channel(None, None, power)
    return found


def _iio_channels(root: Path) -> dict[str, _Channel]:
    """INA3221 as JetPack 4 shows it, in milliwatts."""
    found = {}
    for name_file in sorted(
        (root / "sys/bus/i2c/drivers/ina3221x").glob("*/iio[_:]device*/rail_name_[012]")
    ):
        label, channel = read_text(name_file) or "", name_file.name[-1]
        if label and "NC" not in label:
            power = name_file.with_name(f"in_power{channel}_input")
            found[label] = _Channel(None, None, power, 1e-3)
    return found


def _rapl_domains(root: Path) -> dict[str, Path]:
    """Whole packages, their memory and the platform; cores and uncore are inside the packages."""
    found = {}
    for domain in sorted((root / "sys/class/powercap").glob("intel-rapl:*")):
        name = read_text(domain / "name") or ""
        if name == "dram":
            name = f"dram-{domain.name.split(':')[1]}"
        elif not name.startswith("package") and name != RAPL_WHOLE:
            continue
        # Since 2020 the kernel lets only root read it.
        if read_integer(domain / "energy_uj") is not None:
            found[name] = domain
    return found
