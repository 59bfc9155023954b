import pytest
from board_trees import BOARDS, ORIN_NANO, write_tree

from edgeseg.runtime.telemetry.clocks import ClockSensors


@pytest.mark.parametrize(
    ("name", "load", "gpu_hz", "locked", "cpu_hz", "memory_hz"),
    [
        ("nano", 0.654, 921_600_000, False, 1_479_000_000, None),
        # A load of 0 is a load: the GPU was idle. Only Thor's kernel says nothing.
        ("xavier", 0.0, 1_377_000_000, False, 2_265_600_000, None),
        ("orin-nano", 0.437, 624_750_000, True, 1_510_400_000, 2_133_000_000),
        ("agx-orin", 0.991, 1_300_500_000, False, 2_201_600_000, None),
        ("thor", None, 1_575_000_000, False, 2_601_000_000, 4_266_000_000),
        ("pc", None, None, None, 3_400_000_000, None),
    ],
)
def test_load_and_clocks(tmp_path, name, load, gpu_hz, locked, cpu_hz, memory_hz):
    found = ClockSensors(write_tree(tmp_path, BOARDS[name])).read()
    assert found.gpu_load == load
    assert found.gpu_hz == gpu_hz
    assert found.gpu_locked is locked
    assert found.cpu_hz == cpu_hz
    assert found.cpu_max_hz == 2_000_000_000
    assert found.memory_hz == memory_hz


def test_an_off_core_and_a_vanished_gpu_are_left_out(tmp_path):
    root = write_tree(tmp_path, ORIN_NANO)
    sensors = ClockSensors(root)
    (root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").unlink()
    (root / "sys/class/devfreq/17000000.gpu/device/load").write_text("<unknown>\n")
    assert sensors.read().cpu_hz == 1_344_000_000
    assert sensors.read().gpu_load is None
    empty = ClockSensors(tmp_path / "nothing").read()
    assert set(vars(empty).values()) == {None}
