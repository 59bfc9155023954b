"""tune, in this process, on a tiny net: meets its target, goes on after a kill, repeats itself."""

import json
import sys
from pathlib import Path

import pytest
import torch
from small_models import small

from edgeseg.cli import run
from edgeseg.core.recipe import Recipe, StepDone
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeseg.host.cost import checkpoint_cost
from edgeseg.host.models import build_model

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

DATA = ["--data", "synthetic:4", "--val-limit", "1", "--crop", "32x48", "--batch", "2"]
SMALL = [*DATA, "--trial-epochs", "1", "--round-to", "2", "--max-drop", "1"]


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    spec = small("segnet-basic", size_hw=(32, 48), channels=32)
    path = tmp_path_factory.mktemp("dense") / "dense.safetensors"
    weights = build_model(spec).state_dict()
    save_checkpoint(path, Checkpoint(spec, (StepDone("train"),), weights))
    return path


@pytest.mark.slow
def test_macs_are_met_the_search_goes_on_and_the_recipe_repeats_it(dense, tmp_path, capsys):
    folder = tmp_path / "tune"
    arguments = ["tune", str(dense), "--target-macs", "0.5", *SMALL, "-o", str(folder), "--json"]
    assert run([*arguments, "--trials", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["trials"] == 1
    assert run([*arguments, "--trials", "2"]) == 2  # a run is there
    assert run([*arguments, "--trials", "2", "--resume"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["trials"] == 2
    assert 0.9 * document["target"] <= document["cost"] <= document["target"]
    checkpoint = load_checkpoint(folder / "best.safetensors")
    assert checkpoint_cost(checkpoint).macs == document["cost"]
    tried = json.loads((folder / "tried.json").read_text())
    assert [row["state"] for row in tried] == ["complete", "complete"]
    assert set(tried[0]["parameters"].values()) == {1.0}
    assert {"tried.txt", "pareto.png", "recipe.toml", "study.log"} <= {
        path.name for path in folder.iterdir()
    }
    # The recipe's two steps, given to prune, make the same weights again.
    steps = Recipe.from_document(tomllib.loads((folder / "recipe.toml").read_text())).steps
    assert [step.kind for step in steps] == ["train", "prune", "finetune"]
    cut, tuned = steps[1].options, steps[2].options
    ratios = [
        word
        for name, value in cut["layer_ratios"].items()
        for word in ("--layer-ratio", f"{name}={value}")
    ]
    again = tmp_path / "again"
    redo = ["--max-ratio", str(cut["max_ratio"]), "--round-to", str(cut["round_to"])]
    redo += [
        "--epochs",
        str(tuned["epochs"]),
        "--lr",
        str(tuned["lr"]),
        *DATA,
        "--crop",
        tuned["crop"],
    ]
    redo += ["--seed", str(tuned["seed"]), "--validate-every", "1"]
    assert run(["prune", str(dense), *ratios, *redo, "-o", str(again)]) == 0
    repeated = load_checkpoint(again / "best.safetensors")
    assert all(
        torch.equal(value, repeated.weights[key]) for key, value in checkpoint.weights.items()
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_measured_time_is_met_within_a_tenth(tmp_path, capsys):
    """Costs are ratios to the reference timed in turns, so a busy machine moves both."""
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    spec = small("segnet-basic", size_hw=(64, 96), channels=32, kernel=7)
    dense, folder = tmp_path / "dense.safetensors", tmp_path / "tune"
    save_checkpoint(dense, Checkpoint(spec, (StepDone("train"),), build_model(spec).state_dict()))
    arguments = ["tune", str(dense), "--backend", "onnxruntime", "--threads", "1", *SMALL]
    arguments += ["--trials", "1", "-o", str(folder), "--storage", str(tmp_path / "study.log")]
    assert run([*arguments, "--target-ms", "1e-6", "--study", "far"]) == 4
    target = 0.6 * json.loads((folder / "timed" / "reference.json").read_text())["ms"]
    near = ["--target-ms", str(target), "--study", "near", "--resume", "--json"]
    assert run([*arguments, *near]) == 0
    document = json.loads(capsys.readouterr().out)
    assert 0.9 * target <= document["cost"] <= target
    assert document["unit"] == "ms"


@pytest.mark.slow
def test_regions_may_stay_out_of_int8(dense, tmp_path, capsys):
    arguments = ["--precision", "int8", "--search-float", "--images", "2", "--trials", "2"]
    arguments += ["--target-macs", "0.5", *SMALL, "-o", str(tmp_path), "--json"]
    assert run(["tune", str(dense), *arguments]) == 0
    document = json.loads(capsys.readouterr().out)
    tried = json.loads((tmp_path / "tried.json").read_text())
    assert tried[0]["keep_float"] == []
    checkpoint = load_checkpoint(Path(document["checkpoint"]))
    best = tried[document["best"]]
    assert checkpoint.steps[-1].kind == "quantize"
    assert checkpoint.steps[-1].options["keep_float"] == best["keep_float"]
    assert any(row["keep_float"] for row in tried)


@pytest.mark.slow
def test_a_boards_roofline_is_called_a_floor(dense, tmp_path, capsys):
    arguments = ["tune", str(dense), "--board", "orin-nano", "--trials", "1", *SMALL, "--json"]
    assert run([*arguments, "--target-ms", "1e-9", "-o", str(tmp_path / "far")]) == 4
    error = capsys.readouterr().err
    floor = float(error.split("the network has ")[1].split(".  ")[0].split(". ")[0])
    near = ["--target-ms", str(0.7 * floor), "-o", str(tmp_path / "near")]
    assert run([*arguments, *near]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["unit"] == "floor ms"
    assert "not a measurement" in document["note"]
    assert 0.9 * document["target"] <= document["cost"] <= document["target"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "give one of --target-ms"),
        (["--target-ms", "1", "--target-macs", "0.5"], 2, "give one of --target-ms"),
        (["--target-macs", "1"], 2, "meets the target as it is"),
        (["--target-macs", "0.5", "--search-float"], 2, "give --precision int8"),
        (["--target-macs", "0.001", "--trials", "1"], 4, "none of 1 trials met"),
    ],
)
def test_what_cannot_be_met_says_so(dense, tmp_path, capsys, arguments, code, message):
    assert run(["tune", str(dense), *arguments, *SMALL, "-o", str(tmp_path)]) == code
    assert message in capsys.readouterr().err
