"""Two processes on a CPU against one, at the same total batch."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import rank_run
import torch
from torch import nn

from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import load_checkpoint
from edgeseg.host.training.distributed import Ranks, synchronized_norms
from edgeseg.host.training.train import LAST, train


def start(folder: Path, count: int) -> list[subprocess.Popen[str]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    return [
        subprocess.Popen(
            [sys.executable, str(Path(rank_run.__file__)), str(folder)],
            env={**os.environ, **shared, "RANK": str(rank), "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]


def test_two_processes_train_what_one_trains(tmp_path: Path) -> None:
    # A batch of three: the ranks hold two crops and one, with different numbers of void pixels.
    processes = start(tmp_path / "two", 2)
    rank_run.run(tmp_path / "one", Ranks())
    for process in processes:
        _, errors = process.communicate(timeout=200)
        assert process.returncode == 0, errors
    one, two = (load_checkpoint(tmp_path / name / LAST) for name in ("one", "two"))
    for key, value in one.weights.items():
        torch.testing.assert_close(two.weights[key], value, rtol=2e-3, atol=2e-4, msg=key)
    first, second = (checkpoint.scores["validation"] for checkpoint in (one, two))
    assert second["miou"] == pytest.approx(first["miou"], abs=2e-3)
    moved = rank_run.build_model(rank_run.SPEC).state_dict()
    assert not torch.allclose(one.weights["decoder.0.0.weight"], moved["decoder.0.0.weight"])


def test_alone_nothing_is_patched_and_everything_is_the_identity() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
    with synchronized_norms(net, Ranks()) as count:
        assert count == 0
        assert "forward" not in net[1].__dict__
    assert Ranks().wrap(net) is net
    assert float(Ranks().weight(torch.tensor(7))) == 1.0


def test_a_batch_smaller_than_the_number_of_processes_is_refused(tmp_path: Path) -> None:
    spec = rank_run.SPEC
    with pytest.raises(UsageError, match="batch is the total over all of them"):
        train(
            spec,
            rank_run.build_model(spec),
            rank_run.Blobs(9),
            rank_run.OPTIONS,
            tmp_path,
            ranks=Ranks(0, 4),
        )
