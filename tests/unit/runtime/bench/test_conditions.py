import os
from pathlib import Path

import pytest

from edgeseg.runtime.bench.conditions import Conditions, conditions, conditions_json, doubts, pinned
from edgeseg.runtime.telemetry.thermal import Throttle

STEADY = Conditions(0.1, 3000.0, ("performance",), (0, 1000), None)


def write(root: Path, name: str, text: str) -> None:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_machine_is_read_from_its_files(tmp_path):
    write(tmp_path, "proc/loadavg", "1.50 1.0 0.9 2/300 1234\n")
    write(tmp_path, "proc/stat", "cpu  100 0 50 800 10 0 0 40 0 0\ncpu0 1 2 3\n")
    for cpu, khz in (("cpu0", 1_000_000), ("cpu1", 2_000_000)):
        base = f"sys/devices/system/cpu/{cpu}"
        write(tmp_path, f"{base}/cpufreq/scaling_cur_freq", f"{khz}\n")
        write(tmp_path, f"{base}/cpufreq/scaling_governor", "schedutil\n")
    found = conditions(tmp_path)
    assert found == Conditions(1.5, 1500.0, ("schedutil",), (40, 1000), None)


def test_a_machine_that_says_nothing_is_none_not_zero(tmp_path):
    found = conditions(tmp_path)
    assert found == Conditions(None, None, (), None, None)
    assert doubts(found, found, None) == []


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [
        ({"load": 100.0}, {}, "busy"),
        ({"governors": ("ondemand",)}, {}, "ondemand"),
        ({}, {"clock_mhz": 2000.0}, "2000 MHz"),
        ({}, {"stolen": (100, 2000)}, "10%"),
    ],
)
def test_what_moves_absolute_times_is_said(before, after, word):
    first = Conditions(**{**vars(STEADY), **before})
    last = Conditions(**{**vars(STEADY), "stolen": (0, 2000), **after})
    (line,) = doubts(first, last, None)
    assert word in line
    assert conditions_json(first, last, None, 2)["doubts"] == [line]


def test_throttling_is_said():
    steady = Conditions(**{**vars(STEADY)})
    assert doubts(steady, steady, Throttle((), {"oc1": 0})) == []
    (line,) = doubts(steady, steady, Throttle(("cpu-throttle-alert",), {"oc1": 2}))
    assert "cpu-throttle-alert, oc1 2 times" in line


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin")
def test_threads_are_pinned_inside_and_set_free_after():
    before = os.sched_getaffinity(0)
    with pinned(1):
        assert len(os.sched_getaffinity(0)) == 1
    assert os.sched_getaffinity(0) == before
    with pinned(None):
        assert os.sched_getaffinity(0) == before
