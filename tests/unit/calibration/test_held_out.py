"""calibration/tools/held_out.py: every drive by its own network, and all of them in one matrix."""

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_models import small

from edgeseg.core.data.open import open_dataset
from edgeseg.core.metrics.confusion import ConfusionMatrix
from edgeseg.host.checkpoint import Checkpoint, save_checkpoint
from edgeseg.host.models import build_model
from edgeseg.host.models.label_net import LabelNet
from tests.data_folders import name_camvid_classes

SCRIPT = Path(__file__).parents[3] / "calibration" / "tools" / "held_out.py"
if not SCRIPT.is_file():
    pytest.skip("calibration is not installed", allow_module_level=True)


def test_all_drives_are_counted_into_one_matrix(tmp_path, capsys, monkeypatch):
    spec = importlib.util.spec_from_file_location("held_out", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    rng = np.random.default_rng(0)
    root = tmp_path / "camvid"
    root.mkdir()
    name_camvid_classes(root)
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        for name in ("A_0", "A_1", "A_2", "B_0"):
            rgb = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
            labels = rng.integers(0, 12, (48, 64), dtype=np.uint8)
            cv2.imwrite(str(root / split / f"{name}.png"), rgb)
            cv2.imwrite(str(root / f"{split}annot" / f"{name}.png"), labels)
    size = small("segnet-basic", size_hw=(48, 64))
    nets, words = {}, []
    for seed, drive in enumerate("AB"):
        torch.manual_seed(seed)
        nets[drive] = build_model(size).eval()
        path = tmp_path / f"{drive}.safetensors"
        save_checkpoint(path, Checkpoint(size, (), nets[drive].state_dict()))
        words.append(f"{drive}={path}")
    monkeypatch.setattr("sys.argv", ["held_out.py", "--camvid", str(root), *words])
    script.main()
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["A", "B", "all"]
    whole = ConfusionMatrix(11, 11)
    data = open_dataset(str(root), "train")
    with torch.no_grad():
        for name, sample in zip(data.names, (data[i] for i in range(len(data))), strict=True):
            frame = torch.from_numpy(sample.rgb)[None]
            with torch.autocast("cpu", torch.bfloat16):
                labels = LabelNet(size, nets[name[0]]).eval()(frame)[0].numpy()
            whole.update(sample.labels, labels)
    assert f"mIoU {whole.scores().miou:.4f}" in printed[2]
