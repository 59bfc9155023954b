"""torchrun -m edgeseg, as a user starts it."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

TORCHRUN = [
    sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
    "-m", "edgeseg", "train", "segnet-basic", "--set", "channels=8", "--set", "kernel=3",
]  # fmt: skip


@pytest.mark.slow
def test_torchrun_trains_on_two_processes_and_resumes(tmp_path: Path) -> None:
    train = [
        *TORCHRUN, "--data", "synthetic:6", "--size", "48x64", "--crop", "32x48", "--batch", "3",
        "--val-limit", "3", "--validate-every", "1", "-o", str(tmp_path), "--json",
    ]  # fmt: skip
    for epochs, more in ((1, ["--stop-after", "1"]), (2, ["--resume"])):
        done = subprocess.run(
            [*train, "--epochs", "2", *more], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)  # one document: the other rank is silent
        assert document["epochs"] == epochs
        assert 0 < document["scores"]["global_accuracy"] < 1
    assert done.stderr.count("training segnet-basic") == 1


@pytest.mark.slow
def test_a_process_that_loses_another_says_so_in_a_line(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("images", "masks"):
        (data / name).mkdir(parents=True)
    (data / "classes.txt").write_text("left\nright\n")
    labels = np.repeat(np.array([[0, 1]], np.uint8), 48, axis=0).repeat(32, axis=1)
    for number in range(6):
        cv2.imwrite(str(data / "images" / f"{number}.png"), labels * 200)
        cv2.imwrite(str(data / "masks" / f"{number}.png"), labels)
    # The second image of validation, which process 1 reads.
    (data / "images" / "5.png").write_bytes(b"no picture")
    done = subprocess.run(
        [*TORCHRUN, "--data", data, "--size", "48x64", "--batch", "2", "--epochs", "1",
         "-o", tmp_path / "run"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("edgeseg: error")]
    assert sorted(line.partition("error: ")[2][:12] for line in said) == [
        str(data / "images")[:12],
        "process 0 of",
    ]
    assert "[rank" not in done.stderr
