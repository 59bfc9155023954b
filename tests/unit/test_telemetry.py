import threading
from pathlib import Path

import pytest

from edgeseg.target.telemetry import (
    Telemetry,
    board,
    fingerprint,
    is_jetson,
    power_w,
    temperature_c,
)


def tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


PROCESS = {
    "proc/meminfo": "MemTotal:  8000000 kB\nMemAvailable:  5000000 kB\n",
    "proc/self/status": "Name:\tpython\nVmHWM:\t  150000 kB\nVmRSS:\t  100000 kB\n",
    "proc/self/smaps_rollup": "00-ff ---p 00000000 00:00 0  [rollup]\nRss: 9 kB\nPss:  90000 kB\n",
}
SENSOR = "sys/bus/i2c/devices/1-0040"
ORIN_NANO = {
    **PROCESS,
    "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic\n",
    "proc/device-tree/model": "NVIDIA Jetson Orin Nano Developer Kit\0",
    "var/lib/nvpmodel/status": "pmode:0002\n",
    f"{SENSOR}/name": "ina3221\n",
    f"{SENSOR}/hwmon/hwmon1/in1_label": "VDD_IN\n",
    f"{SENSOR}/hwmon/hwmon1/in1_input": "5000\n",
    f"{SENSOR}/hwmon/hwmon1/curr1_input": "1200\n",
    f"{SENSOR}/hwmon/hwmon1/in2_label": "NC\n",
    f"{SENSOR}/hwmon/hwmon1/in2_input": "0\n",
    f"{SENSOR}/hwmon/hwmon1/curr2_input": "0\n",
    f"{SENSOR}/hwmon/hwmon1/in3_label": "VDD_SOC\n",
    "sys/devices/virtual/thermal/thermal_zone0/type": "tj-thermal\n",
    "sys/devices/virtual/thermal/thermal_zone0/temp": "51250\n",
    "sys/devices/virtual/thermal/thermal_zone1/type": "gpu-thermal\n",
    "sys/devices/virtual/thermal/thermal_zone1/temp": "-256000\n",
    "sys/devices/virtual/thermal/thermal_zone2/type": "cv0-thermal\n",
}


def test_a_jetson_reports_the_drop_of_available_memory(tmp_path):
    root = tree(tmp_path, ORIN_NANO)
    with Telemetry(root, sample_s=60.0) as telemetry:
        text = PROCESS["proc/meminfo"].replace("5000000", "4400000")
        (root / "proc/meminfo").write_text(text)
        low = telemetry.measure().memory
        (root / "proc/meminfo").write_text(text.replace("4400000", "4900000"))
        memory = telemetry.measure().memory
    assert low == memory
    assert memory.peak_bytes == 600_000 * 1024
    assert "MemAvailable" in memory.method
    assert memory.details["pss_bytes"] == 90_000 * 1024
    assert memory.details["peak_resident_bytes"] == 150_000 * 1024


def test_a_pc_reports_its_peak_resident_set(tmp_path):
    with Telemetry(tree(tmp_path, PROCESS), sample_s=60.0) as telemetry:
        measured = telemetry.measure()
    assert measured.memory.peak_bytes == 150_000 * 1024
    assert measured.memory.method.startswith("VmHWM")
    assert measured.power_w is None
    assert measured.temperature_c is None


def test_nothing_readable_is_none_and_never_zero(tmp_path):
    with Telemetry(tmp_path, sample_s=0.01) as telemetry:
        measured = telemetry.measure()
    assert measured.memory is None
    assert measured.power_w is None
    assert measured.temperature_c is None
    assert measured.machine["board"] is None


def test_sensors_leave_out_what_is_not_connected_or_switched_off(tmp_path):
    root = tree(tmp_path, ORIN_NANO)
    assert power_w(root) == {"VDD_IN": pytest.approx(6.0)}
    assert temperature_c(root) == {"tj-thermal": 51.25}


def test_power_is_averaged_and_temperature_is_the_highest(tmp_path):
    root = tree(tmp_path, ORIN_NANO)
    zone = root / "sys/devices/virtual/thermal/thermal_zone0/temp"
    current = root / SENSOR / "hwmon/hwmon1/curr1_input"
    with Telemetry(root, sample_s=60.0) as telemetry:
        telemetry.measure()
        zone.write_text("60000\n")
        current.write_text("2000\n")
        telemetry.measure()
        zone.write_text("40000\n")
        measured = telemetry.measure()
    assert measured.temperature_c == {"tj-thermal": 60.0}
    assert measured.power_w == {"VDD_IN": pytest.approx((6 + 10 + 10) / 3)}


def test_the_fingerprint_names_the_board(tmp_path):
    root = tree(tmp_path, ORIN_NANO)
    found = fingerprint(root)
    assert found["board"] == "NVIDIA Jetson Orin Nano Developer Kit"
    assert found["l4t"] == "36.4.3"
    assert found["power_mode"] == "0002"
    assert is_jetson(root)
    assert not is_jetson(tree(tmp_path / "pc", PROCESS))
    assert board(tmp_path / "pc") is None


def test_this_machine_has_a_peak_and_the_thread_ends():
    threads = threading.active_count()
    with Telemetry(sample_s=0.01) as telemetry:
        memory = telemetry.measure().memory
    telemetry.close()
    assert memory.peak_bytes > 20 << 20
    assert threading.active_count() == threads
