import threading

import pytest
from board_trees import AGX_ORIN, BOARDS, ORIN_NANO, PC, PROCESS, THOR, write_tree

from edgeseg.runtime.telemetry import Telemetry

SECOND = 1_000_000_000
SENSOR = "sys/bus/i2c/devices/1-0040"


class Clock:
    """A clock that a test moves on."""

    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


def test_a_jetson_reports_the_drop_of_available_memory(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
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
    with Telemetry(write_tree(tmp_path, PROCESS), sample_s=60.0) as telemetry:
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


def test_power_is_averaged_and_temperature_is_the_highest(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
    zone = root / "sys/devices/virtual/thermal/thermal_zone3/temp"
    current = root / SENSOR / "hwmon/hwmon1/curr1_input"
    with Telemetry(root, sample_s=60.0) as telemetry:
        telemetry.measure()
        zone.write_text("60000\n")
        current.write_text("2000\n")
        telemetry.measure()
        zone.write_text("40000\n")
        measured = telemetry.measure()
    assert measured.temperature_c["tj-thermal"] == 60.0
    assert measured.power_w["VDD_IN"] == pytest.approx((6 + 10 + 10) / 3)
    assert measured.hardware["power_total_w"] == pytest.approx((6 + 10 + 10) / 3)


def test_this_machine_has_a_peak_and_the_thread_ends():
    threads = threading.active_count()
    with Telemetry(sample_s=0.01) as telemetry:
        memory = telemetry.measure().memory
    telemetry.close()
    assert memory.peak_bytes > 20 << 20
    assert threading.active_count() == threads


@pytest.mark.parametrize("name", BOARDS)
def test_every_machine_gives_a_measurement(tmp_path, name):
    with Telemetry(write_tree(tmp_path, BOARDS[name]), sample_s=60.0) as telemetry:
        measured = telemetry.measure()
        sample = telemetry.latest()
    assert measured.memory.peak_bytes >= 0
    assert measured.temperature_c
    assert measured.hardware["cpu_clock_hz"] > 0
    assert measured.hardware["throttling"] is not None or name == "xavier"
    assert (sample.power is None) is (name == "pc")  # counters need two reads


def test_what_a_machine_lacks_is_none(tmp_path):
    with Telemetry(write_tree(tmp_path, THOR), sample_s=60.0) as telemetry:
        measured = telemetry.measure()
    assert measured.hardware["gpu_load"] is None
    assert measured.hardware["gpu_clock_hz"] == 1_575_000_000
    assert "nvmap_rise_bytes" not in measured.memory.details
    with Telemetry(tmp_path / "nothing", sample_s=60.0) as telemetry:
        measured = telemetry.measure()
        sample = telemetry.latest()
    assert set(measured.hardware.values()) == {None}
    assert measured.energy is None
    assert sample.memory_drop_bytes is None
    assert sample.pss_bytes is None
    assert sample.power is None


def test_the_drivers_memory_is_the_rise_since_the_beginning(tmp_path):
    root = write_tree(tmp_path, AGX_ORIN)
    with Telemetry(root, sample_s=60.0) as telemetry:
        text = AGX_ORIN["proc/meminfo"].replace("300000", "420000")
        (root / "proc/meminfo").write_text(text)
        telemetry.measure()
        (root / "proc/meminfo").write_text(AGX_ORIN["proc/meminfo"])
        assert telemetry.measure().memory.details["nvmap_rise_bytes"] == 120_000 * 1024


def test_energy_is_that_of_the_run_and_not_of_what_came_before(tmp_path):
    clock = Clock()
    root = write_tree(tmp_path, ORIN_NANO)
    current = root / SENSOR / "hwmon/hwmon1/curr1_input"
    with Telemetry(root, sample_s=60.0, clock=clock) as telemetry:
        current.write_text("4000\n")
        telemetry.measure()
        for second in range(10, 21):
            clock.now = second * SECOND
            current.write_text("2000\n")
            measured = telemetry.measure()
    found = measured.energy.per_frame(101, 10 * SECOND, 20 * SECOND)
    assert found["joules_per_frame"] == pytest.approx(10.0 * 10 / 100)
    assert found["method"].startswith("VDD_IN")


def test_energy_counters_of_a_pc_are_summed_too(tmp_path):
    clock = Clock()
    root = write_tree(tmp_path, PC)
    with Telemetry(root, sample_s=60.0, clock=clock) as telemetry:
        for second in range(6):
            clock.now = second * SECOND
            path = root / "sys/class/powercap/intel-rapl:0/energy_uj"
            path.write_text(f"{(1 + 15 * second) * 1_000_000}\n")
            measured = telemetry.measure()
    assert measured.power_w["package-0"] == pytest.approx(15.0)
    assert measured.energy.joules(SECOND, 5 * SECOND) == pytest.approx(60.0)


def test_a_throttle_that_came_and_went_is_remembered(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
    state = root / "sys/class/thermal/cooling_device1/cur_state"
    with Telemetry(root, sample_s=60.0) as telemetry:
        state.write_text("2\n")
        telemetry.measure()
        state.write_text("0\n")
        measured = telemetry.measure()
    assert measured.hardware["throttling"]["slowed_by"] == ["cpu-throttle-alert"]


def test_what_came_before_the_run_began_is_in_no_figure_but_memory(tmp_path):
    root = write_tree(tmp_path, AGX_ORIN)
    files = {
        "sys/class/thermal/cooling_device1/cur_state": "2",
        "sys/devices/virtual/thermal/thermal_zone1/temp": "91000",
        "sys/class/hwmon/hwmon5/oc2_event_cnt": "7",
        "proc/meminfo": AGX_ORIN["proc/meminfo"].replace("300000", "420000"),
    }
    calm = {name: (root / name).read_text() for name in files}
    with Telemetry(root, sample_s=60.0) as telemetry:
        at_rest = telemetry.measure()
    with Telemetry(root, sample_s=60.0) as telemetry:
        # Loading the network: hot, slowed, and the GPU's memory at its highest.
        for name, text in files.items():
            (root / name).write_text(text)
        loading = telemetry.measure()
        for name, text in calm.items():
            if "event_cnt" not in name:
                (root / name).write_text(text)
        telemetry.begin()
        measured = telemetry.measure()
    assert loading.temperature_c != at_rest.temperature_c
    assert "hot-surface-alert" in loading.hardware["throttling"]["slowed_by"]
    assert loading.hardware["throttling"]["events"]["oc2"] == 7
    assert measured.temperature_c == at_rest.temperature_c
    assert measured.hardware["throttling"] == at_rest.hardware["throttling"]
    assert measured.memory.details["nvmap_rise_bytes"] == 120_000 * 1024


def test_means_are_of_what_came_after_the_beginning(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
    current = root / SENSOR / "hwmon/hwmon1/curr1_input"
    with Telemetry(root, sample_s=60.0) as telemetry:
        current.write_text("4000\n")
        telemetry.measure()
        current.write_text("2000\n")
        telemetry.begin()
        measured = telemetry.measure()
    assert measured.power_w["VDD_IN"] == pytest.approx(10.0)
    assert measured.hardware["power_total_w"] == pytest.approx(10.0)


def test_energy_counters_of_a_pc_reach_back_to_the_beginning_and_no_further(tmp_path):
    clock = Clock()
    root = write_tree(tmp_path, PC)
    counter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    with Telemetry(root, sample_s=60.0, clock=clock) as telemetry:
        counter.write_text("1000000\n")
        telemetry.measure()
        clock.now = 10 * SECOND
        counter.write_text("401000000\n")
        telemetry.begin()
        clock.now = 12 * SECOND
        counter.write_text("431000000\n")
        measured = telemetry.measure()
    assert measured.power_w["package-0"] == pytest.approx(15.0)


def test_the_thread_samples_by_itself():
    with Telemetry(sample_s=0.005) as telemetry:
        first = telemetry.latest().at_ns
        deadline = threading.Event()
        for _ in range(200):
            if telemetry.latest().at_ns > first:
                break
            deadline.wait(0.01)
        assert telemetry.latest().at_ns > first
