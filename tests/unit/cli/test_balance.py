"""balance, in this process: its table, what it writes, what it refuses."""

import json

import pytest
import torch
from small_models import small

from edgeseg.cli import run
from edgeseg.core.spec import CAMVID_CLASSES
from edgeseg.host.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from edgeseg.host.models import build_model

DATA = ["--data", "synthetic:6", "--val-limit", "2"]


def test_the_table_tells_what_each_share_scores_and_nothing_is_written(
    dense, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert run(["balance", str(dense), *DATA]) == 0
    printed = capsys.readouterr().out
    assert "as it is" in printed
    assert list(tmp_path.iterdir()) == []
    assert run(["balance", str(dense), *DATA, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["checkpoint"] is None
    assert document["n_images"] == 2
    amounts = [row["take_back"] for row in document["rows"]]
    assert amounts == sorted(amounts)
    assert 0.0 in amounts
    assert set(document["class_weights"]) == set(CAMVID_CLASSES)
    weights = document["class_weights"]
    assert weights["Pole"] > weights["Road"]
    text = " ".join(printed.split())
    for row in document["rows"]:
        assert f"{row['take_back']:g} {row['global_accuracy']:.4f}" in text


def test_the_result_is_a_checkpoint_with_its_score_and_can_be_written_again(
    dense, tmp_path, capsys
):
    command = ["balance", str(dense), *DATA, "-o", str(tmp_path), "--json"]
    for amount in (0.3, -0.1):
        assert run([*command, "--take-back", str(amount)]) == 0
        document = json.loads(capsys.readouterr().out)
        assert document["checkpoint"] == str(tmp_path / "balanced.safetensors")
        (row,) = [row for row in document["rows"] if row["take_back"] == amount]
        result = load_checkpoint(tmp_path / "balanced.safetensors")
        assert result.scores == {"validation": row}
        moved = (
            result.weights["classifier.bias"] - load_checkpoint(dense).weights["classifier.bias"]
        )
        expected = torch.tensor([document["class_weights"][name] for name in CAMVID_CLASSES]).log()
        assert torch.allclose(moved, -amount * expected, atol=1e-5)
    record = json.loads((tmp_path / "scores.json").read_text())
    assert record == {"checkpoint": document["checkpoint"], "scores": row}
    assert {path.name for path in tmp_path.iterdir()} == {
        "balanced.safetensors", "scores.json", "env.json",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "out"], "nothing is written without --take-back"),
        (["--take-back", "nan"], "'nan' is not a finite number"),
        (["--take-back", "much"], "much"),
        (["--take-back", "0.1", "--hold-out", "X"], "cannot be held out"),
    ],
)
def test_what_makes_no_sense_is_refused(words, said, dense, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(["balance", str(dense), *DATA, *words]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_file_that_is_read_and_other_runs_are_not_replaced(dense, tmp_path, capsys):
    take = ["--take-back", "0.1", "-o", str(tmp_path)]
    assert run(["balance", str(dense), *DATA, *take]) == 0
    own = tmp_path / "balanced.safetensors"
    before = own.read_bytes()
    assert run(["balance", str(own), *DATA, *take]) == 2
    assert "which is read; give another -o" in capsys.readouterr().err
    assert own.read_bytes() == before
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "last.safetensors").write_bytes(b"a training")
    assert run(["balance", str(dense), *DATA, *take[:2], "-o", str(tmp_path / "run")]) == 2
    assert "of another verb's run" in capsys.readouterr().err


def test_a_shipped_network_is_found_by_its_name(capsys):
    command = ["balance", "deeplabv3plus-mobilenetv2-camvid-slim", "--data", "synthetic:2"]
    assert run([*command, "--val-limit", "1", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["rows"]) > 3
    assert run(["balance", "slim", *DATA]) == 2
    assert "checkpoint or zoo model" in capsys.readouterr().err


def test_a_network_without_a_bias_to_shift_is_refused(tmp_path, capsys):
    spec = small("fcn-32s", size_hw=(32, 48))
    path = tmp_path / "fcn.safetensors"
    save_checkpoint(path, Checkpoint(spec, (), build_model(spec).state_dict()))
    assert run(["balance", str(path), *DATA]) == 2
    assert "layer without bias" in capsys.readouterr().err
