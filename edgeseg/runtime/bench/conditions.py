"""Records the conditions of a measurement: threads, load, clocks, throttling, stolen time."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edgeseg.runtime.telemetry import ROOT, temperature_c
from edgeseg.runtime.telemetry.thermal import Throttle

# Above this share of the cores another process was at work before the run began.
BUSY = 0.5
# A clock that moved this much between start and end moves absolute times by as much.
CLOCK_CHANGE = 0.1
STOLEN = 0.02


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What the machine said at one moment; None where it says nothing.

    Attributes:
        load: processes that ran or waited, mean of the last minute.
        clock_mhz: mean of the cores' clocks now.
        governors: how the kernel chooses the clocks, each once.
        stolen: ticks that a hypervisor gave to others, and all ticks, since it was booted.
        temperature_c: degrees by zone.
    """

    load: float | None
    clock_mhz: float | None
    governors: tuple[str, ...]
    stolen: tuple[int, int] | None
    temperature_c: Mapping[str, float] | None


def conditions(root: Path = ROOT) -> Conditions:
    """Read the conditions of this moment."""
    cpus = root / "sys/devices/system/cpu"
    clocks = [
        int(text) / 1000
        for path in sorted(cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
        if (text := _text(path)).isdigit()
    ]
    if not clocks:
        info = _text(root / "proc/cpuinfo")
        clocks = [float(mhz) for mhz in re.findall(r"^cpu MHz\s*:\s*([\d.]+)", info, re.MULTILINE)]
    load = re.match(r"[\d.]+", _text(root / "proc/loadavg"))
    ticks = re.match(r"cpu +([\d ]+)", _text(root / "proc/stat"))
    fields = [int(field) for field in ticks[1].split()] if ticks else []
    governors = {_text(path) for path in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    return Conditions(
        load=float(load[0]) if load else None,
        clock_mhz=sum(clocks) / len(clocks) if clocks else None,
        governors=tuple(sorted(governors)),
        # proc(5): user nice system idle iowait irq softirq steal; guest time is inside user's.
        stolen=(fields[7], sum(fields[:8])) if len(fields) > 7 else None,
        temperature_c=temperature_c(root),
    )


def conditions_json(
    before: Conditions, after: Conditions, throttle: Throttle | None, threads: int | None
) -> dict[str, Any]:
    """Return what a bench document says about its run, with a line for each doubt."""
    return {
        "threads": threads,
        "load_before": before.load,
        "clock_mhz": [before.clock_mhz, after.clock_mhz],
        "governors": list(before.governors),
        "throttle": None if throttle is None else dataclasses.asdict(throttle),
        "stolen_share": _stolen_share(before, after),
        "temperature_c": after.temperature_c,
        "doubts": doubts(before, after, throttle),
    }


def doubts(before: Conditions, after: Conditions, throttle: Throttle | None) -> list[str]:
    """Return one line for each condition that makes absolute times doubtful."""
    found = []
    cores = os.cpu_count() or 1
    if before.load is not None and before.load > BUSY * cores:
        found.append(f"the machine was busy before the run: load {before.load:.1f}, {cores} cores")
    if set(before.governors) - {"performance"}:
        found.append(f"clocks follow the load: governor {', '.join(before.governors)}")
    if before.clock_mhz and after.clock_mhz:
        change = after.clock_mhz / before.clock_mhz - 1
        if abs(change) > CLOCK_CHANGE:
            found.append(f"clocks moved from {before.clock_mhz:.0f} to {after.clock_mhz:.0f} MHz")
    if throttle is not None:
        events = [f"{name} {count} times" for name, count in throttle.events.items() if count]
        if throttle.active or events:
            found.append(f"the machine throttled itself: {', '.join((*throttle.active, *events))}")
    share = _stolen_share(before, after)
    if share is not None and share > STOLEN:
        found.append(f"the hypervisor gave {share:.0%} of the time to others")
    return found


@contextlib.contextmanager
def pinned(threads: int | None) -> Iterator[None]:
    """Keep this process, and pools of threads made inside, on as many cores as it uses threads.

    None, where the runtime chooses its threads, and a system that cannot pin change nothing.
    """
    if threads is None or not hasattr(os, "sched_setaffinity"):
        yield
        return
    allowed = os.sched_getaffinity(0)
    # The last cores: interrupts and other people's work tend to lie on the first.
    os.sched_setaffinity(0, set(sorted(allowed)[-threads:]))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def _stolen_share(before: Conditions, after: Conditions) -> float | None:
    if before.stolen is None or after.stolen is None:
        return None
    stolen, whole = (now - then for then, now in zip(before.stolen, after.stolen, strict=True))
    return stolen / whole if whole > 0 else None


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
