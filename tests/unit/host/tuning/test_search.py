"""The search itself, against costs and scores that are arithmetic."""

import pytest
import torch
from small_models import small

from edgeseg.core.recipe import StepDone
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.models import build_model
from edgeseg.host.tuning.search import (
    ASKED,
    Space,
    candidate_of,
    pareto,
    region_of,
    run_trials,
    solve,
)
from edgeseg.host.tuning.study import best_trial, digest_of, finished, open_study


@pytest.fixture(scope="module")
def start() -> Checkpoint:
    torch.manual_seed(0)
    spec = small("segnet-basic")
    return Checkpoint(spec, (StepDone("train"),), build_model(spec).state_dict())


def test_an_amount_is_found_under_a_target_whatever_the_curve():
    for bend in (0.6, 1.0, 2.0, 3.0):
        for target in (20.0, 50.0, 90.0):
            asked = []

            def cost(amount, bend=bend, asked=asked):
                asked.append(amount)
                return 100 * (1 - amount) ** bend

            found = solve(cost, 100.0, target, 0.95)
            assert found is not None
            assert 0.9 * target <= found[1] <= target, (bend, target, found)
            assert len(asked) <= ASKED


def test_what_cannot_be_reached_is_none_and_steps_stay_below():
    assert solve(lambda amount: 100 - 10 * amount, 100.0, 50.0, 0.9) is None
    found = solve(lambda amount: 100 - 25 * round(amount * 4), 100.0, 60.0, 0.9)
    assert found is not None
    assert found[1] == 50


def test_regions_are_pruned_in_proportion_and_float_by_name(start):
    space = Space(start, max_ratio=0.8, floats=True)
    assert "encoder.0" in space.regions
    raw = {region: 0.5 for region in space.regions} | {"encoder.3": 0.25}
    shape = space.shape(raw, ("encoder.3",))
    ratios = space.ratios(shape, 0.6)
    assert ratios["encoder.0.0"] == 0.6
    assert ratios["encoder.3.0"] == 0.3
    assert space.keep_float(shape) == ("encoder.3.0",)
    assert region_of("backbone.high_level.0.1.body.0.0") == "backbone.high_level"


def test_layers_that_are_kept_are_neither_searched_nor_pruned(start):
    space = Space(start, max_ratio=0.8, floats=False, keep=("encoder.0.*", "encoder.3.0"))
    assert not {"encoder.0", "encoder.3"} & set(space.regions)
    ratios = space.ratios(space.shape(dict.fromkeys(space.regions, 1.0), ()), 0.6)
    assert ratios["encoder.0.0"] == ratios["encoder.3.0"] == 0
    assert ratios["encoder.1.0"] == 0.6
    assert ratios.keys() == Space(start, max_ratio=0.8, floats=False).units.keys()
    with pytest.raises(UsageError, match="did you mean 'encoder"):
        Space(start, max_ratio=0.8, floats=False, keep=("encodr.0.0",))
    with pytest.raises(UsageError, match="no channels that can be taken out"):
        Space(start, max_ratio=0.8, floats=False, keep=("*",))


def arithmetic(space: Space):
    def costs(ratios, floats):
        return 100 * (1 - sum(ratios.values()) / len(ratios)) + len(floats)

    def score(number, candidate):
        return 1 - candidate.ratios["encoder.0.0"]  # the first level is the one that matters

    return {"costs": costs, "score": score, "dense": 100.0, "target": 60.0}


def test_a_killed_search_goes_on_and_a_second_process_joins(start, tmp_path):
    space = Space(start, max_ratio=0.8, floats=False)
    about = {"checkpoint": digest_of(start), "target": 60.0}
    storage = str(tmp_path / "study.log")
    figures = arithmetic(space)
    count = 0

    def killed(number, candidate):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return figures["score"](number, candidate)

    study = open_study(storage, "s", 0, about)
    with pytest.raises(KeyboardInterrupt):
        run_trials(study, space, 6, **{**figures, "score": killed})
    assert len(finished(study)) == 2
    begun = study.trials[2]
    assert begun.state.name == "RUNNING"
    other = open_study(storage, "s", 0, about)  # the same seed draws the same: asked once only
    run_trials(other, space, 8, **figures)
    assert len(finished(study)) == 8
    shapes = [tuple(trial.params.values()) for trial in finished(study)]
    assert len(set(shapes)) == 8
    assert study.trials[2].state.name == "FAIL"
    assert tuple(begun.params.values()) in shapes
    first = candidate_of(study.trials[0])
    assert len(set(first.ratios.values())) == 1
    best = best_trial(study)
    assert best is not None
    assert best.value > study.trials[0].value
    assert candidate_of(best).cost <= 60


def test_only_what_is_beaten_on_both_leaves_the_front():
    assert pareto([(1, 0.5), (2, 0.6), (2, 0.4), (3, 0.6)]) == [0, 1]
