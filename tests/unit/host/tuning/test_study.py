"""A study is joined by who agrees on what it is about, and outlives its processes."""

import dataclasses

import pytest
import torch
from small_models import small

from edgeseg.core.recipe import StepDone
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.models import build_model
from edgeseg.host.tuning.study import (
    WORKER,
    asked_before,
    best_trial,
    digest_of,
    finished,
    open_study,
    revive,
    worker,
)


@pytest.fixture
def storage(tmp_path) -> str:
    return str(tmp_path / "study.log")


def test_who_searches_something_else_is_refused(storage):
    about = {"checkpoint": "abc", "target": 60.0}
    open_study(storage, "s", 0, about)
    open_study(storage, "s", 1, about)
    with pytest.raises(UsageError, match=r"with target 60\.0, now 50\.0; give another --storage"):
        open_study(storage, "s", 0, {**about, "target": 50.0})
    # Under another name the same storage holds another study.
    open_study(storage, "t", 0, {**about, "target": 50.0})


def test_only_trials_of_processes_that_are_no_more_are_queued_again(storage):
    study = open_study(storage, "s", 0, {})
    host = worker().rpartition(":")[0]
    # No process has a number beyond the kernel's limit of 2^22; 1 always runs.
    for owner in (f"{host}:{1 << 30}", f"{host}:1", "elsewhere:7"):
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        trial.set_user_attr(WORKER, owner)
    revive(study)
    states = [trial.state.name for trial in study.trials]
    assert states == ["FAIL", "RUNNING", "RUNNING", "WAITING"]
    again = study.ask()
    assert again.suggest_float("x", 0.0, 1.0) == study.trials[0].params["x"]


def test_the_best_is_of_the_ended_ones_and_a_shape_is_known_again(storage):
    study = open_study(storage, "s", 0, {})
    assert best_trial(study) is None
    for x, score in ((0.2, 0.5), (0.4, 0.7), (0.6, 0.6)):
        study.enqueue_trial({"x": x})
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        study.tell(trial, score)
    assert best_trial(study).number == 1
    assert len(finished(study)) == 3
    for x, known in ((0.4, True), (0.5, False)):
        study.enqueue_trial({"x": x})
        trial = study.ask()
        trial.suggest_float("x", 0.0, 1.0)
        assert asked_before(study, trial) is known


def test_one_weight_makes_another_digest():
    torch.manual_seed(0)
    spec = small("segnet-basic")
    start = Checkpoint(spec, (StepDone("train"),), build_model(spec).state_dict())
    name = next(iter(start.weights))
    nudged = {**start.weights, name: start.weights[name] + 1e-3}
    assert digest_of(start) == digest_of(dataclasses.replace(start, steps=()))
    assert digest_of(start) != digest_of(dataclasses.replace(start, weights=nudged))
