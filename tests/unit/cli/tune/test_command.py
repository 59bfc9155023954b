"""tune, in this process, on a tiny net: meets its target, goes on after a kill, repeats itself."""

import dataclasses
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from small_models import small

from edgeseg.cli import run
from edgeseg.core.recipe import StepDone
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeseg.host.cost import checkpoint_cost
from edgeseg.host.models import build_model
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.tuning.job import TuneJob

DATA = ["--data", "synthetic:4", "--val-limit", "1", "--crop", "32x48", "--batch", "2"]
SMALL = [*DATA, "--trial-epochs", "1", "--round-to", "2", "--max-drop", "1"]


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
    assert {"tried.txt", "tried.html", "recipe.toml", "study.log"} <= {
        path.name for path in folder.iterdir()
    }
    again = tmp_path / "again"
    where = ["--where", f"start={dense}"]
    assert run(["recipe", str(folder / "recipe.toml"), *where, "-o", str(again), "--json"]) == 0
    repeated = load_checkpoint(Path(json.loads(capsys.readouterr().out)["checkpoint"]))
    assert all(
        torch.equal(value, repeated.weights[key]) for key, value in checkpoint.weights.items()
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_search_killed_in_a_trial_tries_it_again_and_two_join_one_study(dense, tmp_path, capsys):
    arguments = ["tune", str(dense), "--target-macs", "0.5", *SMALL, "--trials", "3", "--json"]
    arguments += ["--storage", str(tmp_path / "study.log")]
    first = [*arguments, "-o", str(tmp_path / "first")]
    process = subprocess.Popen(
        [sys.executable, "-m", "edgeseg", *first], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 300
    trials = tmp_path / "first" / "trials"
    while not (trials / "1").is_dir() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert (tmp_path / "first" / "tried.json").is_file()
    second = [*arguments, "--seed", "0", "-o", str(tmp_path / "second")]
    other = subprocess.Popen(
        [sys.executable, "-m", "edgeseg", *second], stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert run([*first, "--resume"]) == 0
    assert other.wait(300) == 0
    capsys.readouterr()
    # The one that ends first cannot count what the other still tries.
    assert run([*first, "--resume"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = json.loads((tmp_path / "first" / "tried.json").read_text())
    ended = [row for row in rows if row["state"] == "complete"]
    assert 3 <= len(ended) == document["trials"] <= 4
    shapes = [tuple(row["parameters"].values()) for row in ended]
    assert len(set(shapes)) == len(shapes)
    assert set(shapes[0]) == {1.0}
    killed = [tuple(row["parameters"].values()) for row in rows if row["state"] == "fail"]
    assert killed
    assert set(killed) <= set(shapes)
    assert document["scores"]["miou"] == max(row["miou"] for row in ended)


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
    where = ["--where", f"start={dense}", "-o", str(tmp_path / "again")]
    assert run(["recipe", str(tmp_path / "recipe.toml"), *where]) == 0
    (made,) = (tmp_path / "again").glob("*/bundle/model.onnx")
    assert run(["export", document["checkpoint"], "--int8", "-o", str(tmp_path / "own")]) == 0
    assert made.read_bytes() == (tmp_path / "own" / "model.onnx").read_bytes()


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
        (["--target-macs", "0.5", "--keep", "encodr.0.0"], 2, "did you mean 'encoder"),
        (["--target-macs", "1"], 2, "meets the target as it is"),
        (["--target-macs", "0.5", "--search-float"], 2, "give --precision int8"),
        (["--target-macs", "0.5", "--board", "nano"], 2, "MACs are counted, not timed"),
        (["--target-ms", "1", "--board", "orin-nano", "--threads", "2"], 2, "is computed, not"),
        (["--target-fps", "inf"], 2, "inf is not in the range"),
        (["--target-macs", "0.001", "--trials", "1"], 4, "none of 1 trials met"),
    ],
)
def test_what_cannot_be_met_says_so(dense, tmp_path, capsys, arguments, code, message):
    assert run(["tune", str(dense), *arguments, *SMALL, "-o", str(tmp_path)]) == code
    assert message in capsys.readouterr().err


def test_a_second_search_in_a_folder_delivers_its_own_network(dense, tmp_path, capsys):
    folder = tmp_path / "tune"
    arguments = ["tune", str(dense), *SMALL, "--trials", "1", "-o", str(folder), "--json"]
    assert run([*arguments, "--target-macs", "0.7"]) == 0
    capsys.readouterr()
    other = [*arguments, "--target-macs", "0.4", "--resume"]
    assert run(other) == 2
    assert f"another -o: {folder} is" in capsys.readouterr().err
    assert run([*other, "--storage", str(tmp_path / "new.log")]) == 0
    document = json.loads(capsys.readouterr().out)
    made = checkpoint_cost(load_checkpoint(folder / "best.safetensors")).macs
    assert made == document["cost"] <= document["target"]


@pytest.mark.slow
def test_the_references_time_is_kept_for_the_same_threads_only(dense, tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    start, kept = load_checkpoint(dense), tmp_path / "timed" / "reference.json"
    job = TuneJob(
        start, None, None, None, tmp_path, "ms", "fp32", "onnxruntime", 1, "", 2, 0.8, 2,
        TrainOptions(),
    )  # fmt: skip
    job.cost({}, ())
    first = kept.read_text()
    job.cost({}, ())
    assert kept.read_text() == first
    dataclasses.replace(job, threads=2).cost({}, ())
    assert (json.loads(first)["threads"], json.loads(kept.read_text())["threads"]) == (1, 2)
