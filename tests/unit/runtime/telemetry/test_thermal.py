import pytest
from board_trees import AGX_ORIN, BOARDS, ORIN_NANO, PC, write_tree

from edgeseg.runtime.telemetry.thermal import ThrottleWatch, temperature_c


@pytest.mark.parametrize(
    ("name", "hottest", "absent"),
    [
        ("nano", ("PMIC-Die", 100.0), ()),
        ("xavier", ("CPU-therm", 38.0), ()),
        ("orin-nano", ("tj-thermal", 51.25), ("gpu-thermal", "cv0-thermal")),
        ("agx-orin", ("tj-therm", 56.0), ()),
        ("thor", ("tj-thermal", 55.1), ("gpu-thermal",)),
        ("pc", ("x86_pkg_temp", 44.0), ()),
    ],
)
def test_zones_of_a_machine(tmp_path, name, hottest, absent):
    found = temperature_c(write_tree(tmp_path, BOARDS[name]))
    assert max(found.items(), key=lambda item: item[1]) == hottest
    assert not set(absent) & set(found)


def test_two_zones_of_one_name_are_both_shown(tmp_path):
    found = temperature_c(write_tree(tmp_path, PC))
    assert (found["acpitz"], found["acpitz 2"]) == (30.0, 27.8)


def test_without_zones_the_cpus_own_sensor_is_read(tmp_path):
    base = "sys/class/hwmon/hwmon0"
    files = {f"{base}/name": "k10temp\n", f"{base}/temp1_input": "52250\n",
             f"{base}/temp1_label": "Tctl\n", "sys/class/hwmon/hwmon1/name": "nvme\n",
             "sys/class/hwmon/hwmon1/temp1_input": "30000\n"}  # fmt: skip
    assert temperature_c(write_tree(tmp_path, files)) == {"k10temp Tctl": 52.25}


def test_no_sensor_is_none(tmp_path):
    assert temperature_c(tmp_path) is None
    assert ThrottleWatch(tmp_path).read() is None


def test_events_are_counted_from_the_beginning_of_the_watch(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
    watch = ThrottleWatch(root)
    assert watch.read().events == {"oc1": 0, "oc2": 0, "oc3": 0}
    (root / "sys/class/hwmon/hwmon3/oc3_event_cnt").write_text("40\n")
    assert watch.read().events == {"oc1": 0, "oc2": 0, "oc3": 3}


def test_a_fan_does_not_slow_the_machine_and_an_alert_does(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
    assert ThrottleWatch(root).read().active == ()
    root = write_tree(tmp_path / "agx", AGX_ORIN)
    assert ThrottleWatch(root).read().active == ("cpu-throttle-alert",)


def test_a_pcs_offset_setting_and_idle_powerclamp_slow_nothing(tmp_path):
    root = write_tree(tmp_path, PC)
    watch = ThrottleWatch(root)
    (root / "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count").write_text("7")
    assert watch.read().active == ()
    assert watch.read().events == {"package_throttle": 2}
