"""torchrun -m edgeseg, as a user starts it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_torchrun_trains_on_two_processes_and_resumes(tmp_path: Path) -> None:
    train = [
        sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2",
        "-m", "edgeseg", "train", "segnet-basic", "--data", "synthetic:6", "--size", "48x64",
        "--crop", "32x48", "--batch", "3", "--val-limit", "3", "--validate-every", "1",
        "--set", "channels=8", "--set", "kernel=3", "-o", str(tmp_path), "--json",
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
