"""Jobs from Python: train, prune, balance and compare by their options' names."""

from pathlib import Path

import pytest

from edgeseg.core.progress import Progress
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import load_checkpoint
from edgeseg.host.jobs.balance import balance_job
from edgeseg.host.jobs.compare import compare_job
from edgeseg.host.jobs.options import BalanceJobOptions, PruneJobOptions, TrainJobOptions
from edgeseg.host.jobs.prune import prune_job
from edgeseg.host.jobs.train import train_job
from edgeseg.host.training.run_folder import RunResult

SMALL = {"data": "synthetic:4", "crop": "32x48", "batch": 2, "epochs": 1, "val_limit": 1}


@pytest.fixture(scope="module")
def told() -> list[Progress]:
    return []


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, told: list[Progress]) -> RunResult:
    options = TrainJobOptions.of(
        arch="segnet-basic", size=(32, 48), set={"channels": 8, "kernel": 3},
        out=tmp_path_factory.mktemp("run"), **SMALL,
    )  # fmt: skip
    return train_job(options, told.append)


def test_training_returns_its_result_and_reports_every_step(trained, told):
    assert trained.checkpoint == trained.folder / "best.safetensors"
    assert trained.scores == load_checkpoint(trained.checkpoint).scores["validation"]
    steps = [(one.done, one.total) for one in told if one.stage == "train"]
    assert steps == [(1, 2), (2, 2)]
    (line,) = [one for one in told if one.message.startswith("epoch 1/1")]
    assert line.detail


def test_pruning_goes_on_from_the_result_and_gives_its_cost(trained, tmp_path):
    options = PruneJobOptions.of(checkpoint=trained.checkpoint, macs=0.5, round_to=2, out=tmp_path)
    pruned = prune_job(options)
    assert pruned.checkpoint == tmp_path / "pruned.safetensors"
    assert pruned.document["macs_ratio"] <= 0.5
    assert [step.kind for step in pruned.network.steps] == ["train", "prune"]
    first, second = compare_job([trained.folder, pruned.folder])
    assert first.scores["miou"] == trained.scores["miou"]
    assert (first.epochs, second.epochs, second.curve) == (1, 0, [])


def test_balancing_measures_and_writes_only_what_is_asked(trained, tmp_path):
    given = {"checkpoint": trained.checkpoint, "data": "synthetic:4", "val_limit": 1}
    assert balance_job(BalanceJobOptions.of(**given)).checkpoint is None
    result = balance_job(BalanceJobOptions.of(take_back=0.3, out=tmp_path, **given))
    assert result.checkpoint == tmp_path / "balanced.safetensors"
    (row,) = [row for row in result.rows if row["take_back"] == 0.3]
    assert load_checkpoint(result.checkpoint).scores == {"validation": row}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"arch": "segnet-basik"}, "did you mean 'segnet-basic'"),
        ({"distill": 1.0}, "--distill would change nothing: there is no --teacher"),
        ({"mix_share": 0.25}, "--mix-share would change nothing: there is no --mix"),
        ({"init": "a.safetensors", "encoder_weights": "b.pth"}, "leave one out"),
    ],
)
def test_contradictions_are_refused_and_leave_nothing(more, message, tmp_path):
    given = {"arch": "segnet-basic", "size": (32, 48), "out": tmp_path / "run", **SMALL, **more}
    with pytest.raises(UsageError) as error:
        train_job(TrainJobOptions.of(**given))
    assert message in str(error.value)
    assert not Path(tmp_path / "run").exists()
