from pathlib import Path

import numpy as np
import pytest

from edgeseg.core.data.open import open_dataset
from edgeseg.core.options import parse_settings
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import UsageError
from edgeseg.host.quantization.calibrate import calibration_frames
from edgeseg.host.training.run_folder import run_folder


def test_settings_are_json_where_they_can_be():
    texts = ("aspp_channels=96", "atrous_rates=[2,4]", "dropout=0.1", "kind=plain")
    assert parse_settings(texts) == {
        "aspp_channels": 96,
        "atrous_rates": [2, 4],
        "dropout": 0.1,
        "kind": "plain",
    }


@pytest.mark.parametrize("text", ["aspp_channels", "=3"])
def test_a_setting_without_key_or_value_is_refused(text):
    with pytest.raises(UsageError, match="KEY=VALUE"):
        parse_settings((text,))


def test_a_finished_run_is_not_overwritten_by_accident(tmp_path: Path):
    assert run_folder("train", "x", tmp_path, used_by=("last",), again=False) == tmp_path
    (tmp_path / "last").touch()
    with pytest.raises(UsageError, match="--resume"):
        run_folder("train", "x", tmp_path, used_by=("last",), again=False)
    assert run_folder("train", "x", tmp_path, used_by=("last",), again=True) == tmp_path
    assert run_folder("qat", "x", None, used_by=("last",), again=True) == Path("runs/qat/x")


def test_a_run_of_another_verb_is_not_gone_on_with_nor_overwritten(tmp_path: Path):
    used = ("pruned", "last")
    (tmp_path / "last").touch()
    with pytest.raises(UsageError, match="holds a run already"):
        run_folder("prune", "x", tmp_path, used_by=used, again=False)
    with pytest.raises(UsageError, match="holds last of another verb's run, no pruned"):
        run_folder("prune", "x", tmp_path, used_by=used, again=True)
    (tmp_path / "pruned").touch()
    assert run_folder("prune", "x", tmp_path, used_by=used, again=True) == tmp_path


def test_calibration_frames_are_spread_and_at_the_models_size():
    data = open_dataset("synthetic:6", "train", size_hw=(48, 64))
    spec = ModelSpec("segnet-basic", size_hw=(40, 80))
    frames = list(calibration_frames(spec, data, 3))
    assert [frame.shape for frame in frames] == [(40, 80, 3)] * 3
    every = list(calibration_frames(spec, data, 100))
    assert len(every) == 6
    assert np.array_equal(every[2], frames[1])
