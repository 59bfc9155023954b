import pytest
from board_trees import AGX_ORIN, BOARDS, ORIN_NANO, PC, THOR, write_tree

from edgeseg.runtime.telemetry.power import PowerSensors, power_w

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("name", "total", "rails", "method"),
    [
        # The input rail alone: the others are inside it.
        ("nano", 4.2, 3, "POM_5V_IN (module"),
        ("orin-nano", 6.0, 3, "VDD_IN (module"),
        ("thor", 31.5, 4, "VIN (module"),
        # No input rail: all of them.
        ("xavier", 1.9 + 1.52 + 2.28 + 0.19 + 0.76 + 2.0, 6, "CPU + GPU + SOC"),
        ("agx-orin", 3.8 + 1.9 + 4.5 + 1.0, 4, "VDDQ_VDD2_1V8AO"),
    ],
)
def test_the_total_is_the_input_rail_or_else_the_sum(tmp_path, name, total, rails, method):
    reading = PowerSensors(write_tree(tmp_path, BOARDS[name])).read(0)
    assert reading.total_w == pytest.approx(total)
    assert len(reading.rails_w) == rails
    labels = set(method.split(" (")[0].split(" + "))
    assert labels <= set(reading.method.split(" (")[0].split(" + "))
    assert "not the wall plug" in reading.method
    assert not [rail for rail in reading.rails_w if "NC" in rail or "sum" in rail]


def test_a_total_that_lacks_a_rail_is_no_total(tmp_path):
    root = write_tree(tmp_path, AGX_ORIN)
    sensors = PowerSensors(root)
    path = root / "sys/bus/i2c/devices/1-0041/hwmon/hwmon4/curr2_input"
    path.unlink()
    assert sensors.read(0) is None
    path.write_text("garbage")
    assert sensors.read(0) is None


def test_the_input_rail_still_counts_when_another_rail_fails(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
    sensors = PowerSensors(root)
    (root / "sys/bus/i2c/devices/1-0040/hwmon/hwmon1/curr2_input").unlink()
    reading = sensors.read(0)
    assert reading.total_w == pytest.approx(6.0)
    assert set(reading.rails_w) == {"VDD_IN", "VDD_SOC"}


def test_a_disabled_channel_is_no_rail(tmp_path):
    disabled = {"sys/bus/i2c/devices/1-0040/hwmon/hwmon2/in1_enable": "0\n"}
    assert "VDD_GPU" not in power_w(write_tree(tmp_path, THOR | disabled))


def test_energy_counters_give_the_mean_between_two_reads(tmp_path):
    root = write_tree(tmp_path, PC)
    sensors = PowerSensors(root)
    package = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    dram = root / "sys/class/powercap/intel-rapl:0:1/energy_uj"
    assert sensors.read(0) is None
    package.write_text("21000000\n")
    dram.write_text("1500000\n")
    reading = sensors.read(2 * SECOND)
    assert reading.rails_w == {"package-0": pytest.approx(10.0), "dram-0": pytest.approx(0.5)}
    assert reading.total_w == pytest.approx(10.5)
    assert "RAPL" in reading.method
    # The counter goes round at 100 J.
    package.write_text("1000000\n")
    assert sensors.read(4 * SECOND).rails_w["package-0"] == pytest.approx(40.0)


def test_the_whole_platform_is_not_added_to_its_parts(tmp_path):
    psys = {
        "sys/class/powercap/intel-rapl:1/name": "psys\n",
        "sys/class/powercap/intel-rapl:1/energy_uj": "0\n",
    }
    root = write_tree(tmp_path, PC | psys)
    sensors = PowerSensors(root)
    sensors.read(0)
    (root / "sys/class/powercap/intel-rapl:1/energy_uj").write_text("30000000\n")
    assert sensors.read(SECOND).total_w == pytest.approx(30.0)


def test_a_machine_without_sensors_has_no_power(tmp_path):
    sensors = PowerSensors(tmp_path)
    assert sensors.method is None
    assert sensors.read(0) is None
    assert power_w(tmp_path) is None
