"""What several cameras on one network share."""

import dataclasses

import pytest
from simulated import PLAIN

from edgeseg.runtime.streaming.cameras import sharing_energy
from edgeseg.runtime.streaming.loop import LoopResult

ENERGY = {"joules_per_frame": 0.8, "mean_w": 8.0, "method": "VDD_IN"}


def test_the_boards_energy_is_shared_by_all_cameras_frames():
    one = LoopResult(dataclasses.replace(PLAIN, fps=10.0, energy=ENERGY))
    two = LoopResult(dataclasses.replace(PLAIN, fps=30.0, energy=ENERGY))
    assert sharing_energy([one]) == [one]
    for result in sharing_energy([one, two]):
        assert result.report.energy["joules_per_frame"] == pytest.approx(8 / 40)
        assert "2 cameras" in result.report.energy["method"]
