import pytest

from edgeseg.core.recipe import Recipe, StepDone, order_problems
from edgeseg.errors import RecipeError


def test_a_whole_recipe_is_read_in_order():
    recipe = Recipe.from_document(
        {
            "arch": "segnet",
            "step": [
                {"kind": "train", "data": "synthetic", "epochs": 2},
                {"kind": "prune", "ratio": 0.3},
                {"kind": "finetune", "epochs": 1},
                {"kind": "quantize", "observer": "mse"},
                {"kind": "qat", "epochs": 1},
            ],
        }
    )
    assert [step.kind for step in recipe.steps] == ["train", "prune", "finetune", "quantize", "qat"]
    assert recipe.steps[0].options == {"data": "synthetic", "epochs": 2}


def test_every_mistake_is_reported_in_one_message():
    with pytest.raises(RecipeError) as caught:
        Recipe.from_document(
            {
                "arc": "segnet",
                "step": [
                    {"kind": "quantize", "observr": "mse"},
                    {"kind": "prune"},
                    {"kind": "shrink"},
                ],
            },
            {"quantize": ("observer", "images"), "prune": ()},
        )
    message = str(caught.value)
    assert "'arc'" in message
    assert "arch is missing" in message
    assert "did you mean 'observer'" in message
    assert "quantize cannot stand first" in message
    assert "prune cannot stand after quantize" in message
    assert "'shrink'" in message


@pytest.mark.parametrize(
    ("kinds", "legal"),
    [
        (["train", "quantize"], True),
        (["train", "quantize", "qat", "qat"], True),
        (["train", "prune", "prune", "quantize"], True),
        (["qat"], False),
        (["train", "qat"], False),
        (["train", "quantize", "finetune"], False),
        (["train", "train"], False),
        (["train", "balance", "quantize", "qat", "balance"], True),
        (["train", "balance", "balance", "finetune"], True),
        (["balance"], False),
        (["train", "quantize", "balance"], False),
        (["train", "balance", "qat"], False),
    ],
)
def test_order(kinds, legal):
    assert (order_problems(kinds) == []) == legal


def test_a_step_done_survives_json():
    step = StepDone("quantize", {"observer": "max"}, {"groups": [[0, 1]]})
    assert StepDone.from_json(step.to_json()) == step
