"""prune, in this process: what it writes, what may follow it, what it refuses."""

import dataclasses
import json
from pathlib import Path

import pytest

from edgeseg.cli import run
from edgeseg.core.recipe import StepDone
from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint, save_checkpoint
from edgeseg.host.cost import Cost, checkpoint_cost, count_cost
from edgeseg.host.pruning.sparsity import SPARSE, masks_of

TRAINING = [
    "--data",
    "synthetic:4",
    "--crop",
    "32x48",
    "--batch",
    "2",
    "--epochs",
    "1",
    "--val-limit",
    "1",
]


def test_a_target_is_met_and_recorded(dense, tmp_path, capsys):
    arguments = ["prune", str(dense), "--target-macs", "0.4", "-o", str(tmp_path), "--json"]
    assert run(arguments) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["checkpoint"] == str(tmp_path / "pruned.safetensors")
    assert document["scores"] is None
    assert 0.2 < document["macs_ratio"] <= 0.4
    checkpoint = load_checkpoint(tmp_path / "pruned.safetensors")
    module = module_from_checkpoint(checkpoint)
    assert count_cost(module, (32, 48)).macs == document["after"]["macs"]
    assert checkpoint_cost(checkpoint) == Cost(**document["after"])
    table = (tmp_path / "widths.txt").read_text()
    assert f"32 -> {module.encoder[0][0].out_channels}" in table
    assert table.splitlines() == checkpoint.steps[1].metadata["table"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "pruned.safetensors", "widths.txt", "scores.json", "env.json", "index.html",
    }  # fmt: skip
    assert run(arguments) == 2
    assert "holds a run already" in capsys.readouterr().err


def test_counts_may_have_units(dense, tmp_path, capsys):
    assert run(["prune", str(dense), "--target-params", "9k", "-o", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["after"]["params"] <= 9000


def test_rounds_train_in_between_and_train_and_qat_go_on_from_there(dense, tmp_path, capsys):
    rounds, tuned, qat = (str(tmp_path / name) for name in ("rounds", "tuned", "qat"))
    arguments = ["--target-macs", "0.4", "--rounds", "2", "--sparsity", "2:4"]
    assert run(["prune", str(dense), *arguments, *TRAINING, "-o", rounds, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["macs_ratio"] <= 0.4
    assert 0 <= document["scores"]["miou"] <= 1
    pruned = load_checkpoint(Path(document["checkpoint"]))
    assert [step.kind for step in pruned.steps] == [
        "train", "prune", "finetune", "prune", "prune", "finetune",
    ]  # fmt: skip
    first, second = (pruned.steps[index].metadata["after"]["macs"] for index in (1, 3))
    assert document["before"]["macs"] > first > second
    assert (tmp_path / "rounds" / "round-2" / "curves.csv").is_file()
    init = ["--init", document["checkpoint"], "--size", "32x48"]
    assert run(["train", "segnet-basic", *init, *TRAINING, "-o", tuned]) == 0
    best = str(tmp_path / "tuned" / "best.safetensors")
    assert run(["qat", best, *TRAINING, "--images", "2", "-o", qat]) == 0
    last = load_checkpoint(tmp_path / "qat" / "last.safetensors")
    assert [step.kind for step in last.steps[-3:]] == ["finetune", "quantize", "qat"]
    assert set(masks_of(module_from_checkpoint(last), last.steps)) == set(
        pruned.steps[4].metadata[SPARSE]
    )
    capsys.readouterr()
    assert run(["prune", str(tmp_path / "qat" / "last.safetensors"), "--ratio", "0.5"]) == 2
    assert "is quantized already; give the float checkpoint" in capsys.readouterr().err
    assert run(["prune", best, "--ratio", "0.5"]) == 2
    assert "shifts its groups of four" in capsys.readouterr().err


def test_the_last_epoch_can_be_each_round_s_result(dense, tmp_path, capsys):
    arguments = ["--target-macs", "0.5", "--rounds", "2", "--result", "last", "-o", str(tmp_path)]
    assert run(["prune", str(dense), *TRAINING, *arguments, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["checkpoint"] == str(tmp_path / "last.safetensors")
    assert not (tmp_path / "best.safetensors").exists()
    found, last = (
        load_checkpoint(tmp_path / name).weights["classifier.weight"]
        for name in ("last.safetensors", "round-2/last.safetensors")
    )
    assert found.equal(last)


def test_the_folder_of_a_training_is_left_alone(dense, tmp_path, capsys):
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("best", "last"):
        (folder / f"{name}.safetensors").write_bytes(dense.read_bytes())
    for more in ([], ["--resume"]):
        assert run(["prune", str(dense), "--ratio", "0.5", *more, "-o", str(folder)]) == 2
    assert "of another verb's run" in capsys.readouterr().err
    assert {path.read_bytes() for path in folder.iterdir()} == {dense.read_bytes()}


@pytest.mark.parametrize("rounds", [["--rounds", "2", *TRAINING], []], ids=["rounds", "once"])
def test_a_run_is_not_gone_on_with_as_another_prune(rounds, dense, tmp_path, capsys):
    arguments = ["prune", str(dense), *rounds, "-o", str(tmp_path)]
    assert run([*arguments, "--ratio", "0.25"]) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.safetensors")}
    assert run([*arguments, "--ratio", "0.5", "--resume"]) == 2
    assert "was pruned with ratio 0." in capsys.readouterr().err
    assert run([*arguments, "--ratio", "0.25", "--sparsity", "2:4", "--resume"]) == 2
    assert "steps; give the same" in capsys.readouterr().err
    other = tmp_path / "other.safetensors"
    checkpoint = load_checkpoint(dense)
    further = dataclasses.replace(checkpoint, steps=(*checkpoint.steps, StepDone("finetune")))
    save_checkpoint(other, further)
    assert run(["prune", str(other), *arguments[2:], "--ratio", "0.25", "--resume"]) == 2
    assert "was made from another checkpoint" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in before} == before
    assert run([*arguments, "--ratio", "0.25", "--resume"]) == 0


def test_options_of_a_training_that_will_not_be_are_refused(dense, tmp_path, capsys):
    arguments = ["prune", str(dense), "--ratio", "0.5", "-o", str(tmp_path)]
    assert run([*arguments, "--mix", "nowhere", "--distill", "1"]) == 2
    message = capsys.readouterr().err
    assert "--mix, --distill would change nothing: without --epochs" in message


def test_layer_ratios_are_kept_to(dense, tmp_path):
    arguments = ["--layer-ratio", "encoder.[01]*=0.5", "--layer-ratio", "decoder.0.0=0"]
    assert run(["prune", str(dense), *arguments, "-o", str(tmp_path)]) == 0
    module = module_from_checkpoint(load_checkpoint(tmp_path / "pruned.safetensors"))
    assert [level[0].out_channels for level in module.encoder] == [16, 16, 32, 32]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to do"),
        (["--ratio", "0.5", "--target-macs", "0.5"], "a ratio or a target, not both"),
        (["--ratio", "0.95"], "outside [0, max_ratio 0.9]"),
        (["--ratio", "0.5", "--importance", "magnitud"], "did you mean 'magnitude'"),
        (["--ratio", "0.5", "--importance", "taylor"], "give --data"),
        (["--ratio", "0.5", "--epochs", "2"], "fine-tuning needs data"),
        (["--ratio", "0.5", "--images", "7"], "there is no --data"),
        (["--layer-ratio", "encodr.0.0=0.5"], "did you mean 'encoder.0.0'"),
        (["--layer-ratio", "encoder=x"], "is no LAYER=RATIO"),
        (["--target-macs", "0.001"], "the least is"),
        (["--target-macs", "few"], "is no amount"),
        (["--target-macs", "nan"], "is no amount"),
        (["--target-macs", "inf"], "is no amount"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(dense, tmp_path, capsys, arguments, message):
    assert run(["prune", str(dense), *arguments, "-o", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert not list(tmp_path.glob("*.safetensors"))
