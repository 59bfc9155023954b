"""What edgeseg paper takes from a folder it has been in before, and what it refuses there."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from small_models import small

from edgeseg.cli import run
from edgeseg.core.recipe import StepDone
from edgeseg.host.checkpoint import Checkpoint, save_checkpoint
from edgeseg.host.models import build_model
from tests.data_folders import name_camvid_classes

QUICK = ["--size", "48x64", "--batch", "2", "--epochs", "1", "--rounds", "1"]
SYNTHETIC = ["--data", "synthetic:6", "--limit", "2"]
# The one training of table 3's first row.
SEGNET = ["table3", *QUICK, "--arch", "segnet"]
NARROW = ["--set", "width=0.125"]
JOB = "segnet-natural"


def paper(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict:
    """The scores of the one row."""
    capsys.readouterr()
    code = run(["paper", *map(str, arguments), "--json"])
    output = capsys.readouterr()
    assert code == 0, output.err
    (row,) = json.loads(output.out)["rows"]
    return row["ours"]["natural"]


def write_data(root: Path, seed: int) -> Path:
    """A folder in CamVid's layout, 4 images a split."""
    rng = np.random.default_rng(seed)
    for split in ("train", "val"):
        (root / split).mkdir(parents=True)
        (root / f"{split}annot").mkdir()
        name_camvid_classes(root)
        for number in range(4):
            labels = rng.integers(0, 12, (6, 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            cv2.imwrite(str(root / split / f"A_{number}.png"), labels[..., None].repeat(3, 2) * 20)
            cv2.imwrite(str(root / f"{split}annot" / f"A_{number}.png"), labels)
    return root


def write_checkpoint(path: Path, seed: int) -> Path:
    torch.manual_seed(seed)
    spec = small("segnet", size_hw=(48, 64))
    weights = build_model(spec).state_dict()
    save_checkpoint(path, Checkpoint(spec, (StepDone("train"),), weights))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished row, to be copied."""
    folder = tmp_path_factory.mktemp("finished")
    assert run(["paper", *SEGNET, *NARROW, *SYNTHETIC, "-o", str(folder), "--json"]) == 0
    return folder


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    return shutil.copytree(finished, tmp_path / "run")


def test_other_data_of_the_same_name_is_scored_and_moved_data_is_not_scored_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_data(tmp_path / "a" / "camvid", 0)
    other = write_data(tmp_path / "b" / "camvid", 1)
    given = f"--checkpoint={JOB}={write_checkpoint(tmp_path / 'given.safetensors', 0)}"
    before = paper(capsys, *SEGNET, given, "--data", first, "-o", tmp_path / "out")
    fresh = paper(capsys, *SEGNET, given, "--data", other, "-o", tmp_path / "fresh")
    after = paper(capsys, *SEGNET, given, "--data", other, "-o", tmp_path / "out")
    assert before["data"] == after["data"]
    assert before["miou"] != fresh["miou"] == after["miou"]
    moved = shutil.copytree(other, tmp_path / "c" / "camvid")
    result = tmp_path / "out" / JOB / "scores.json"
    written = result.stat().st_mtime_ns
    assert paper(capsys, *SEGNET, given, "--data", moved, "-o", tmp_path / "out") == after
    assert result.stat().st_mtime_ns == written
    # The images are the same, what they are scored against is not.
    mask = moved / "valannot" / "A_0.png"
    cv2.imwrite(str(mask), np.zeros((48, 64), np.uint8))
    corrected = paper(capsys, *SEGNET, given, "--data", moved, "-o", tmp_path / "out")
    assert corrected["miou"] != after["miou"]


def test_a_checkpoint_that_changed_is_scored_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_checkpoint(tmp_path / "given.safetensors", 0)
    arguments = [*SEGNET, f"--checkpoint={JOB}={path}", *SYNTHETIC, "-o", tmp_path / "out"]
    before = paper(capsys, *arguments)
    write_checkpoint(path, 1)
    after = paper(capsys, *arguments)
    fresh = paper(capsys, *arguments[:-1], tmp_path / "fresh")
    assert before["miou"] != after["miou"] == fresh["miou"]


def test_another_size_is_scored_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_checkpoint(tmp_path / "given.safetensors", 0)
    arguments = [*SEGNET, f"--checkpoint={JOB}={path}", *SYNTHETIC, "-o", tmp_path / "out"]
    before = paper(capsys, *arguments)
    larger = ["--size", "64x96"]
    after = paper(capsys, *arguments, *larger)
    fresh = paper(capsys, *arguments[:-1], tmp_path / "fresh", *larger)
    assert before["miou"] != after["miou"] == fresh["miou"]


def test_a_network_trained_on_other_data_of_the_same_name_is_not_gone_on_with(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write_data(tmp_path / "a" / "camvid", 0)
    other = write_data(tmp_path / "b" / "camvid", 1)
    arguments = [*SEGNET, *NARROW, "-o", tmp_path / "out", "--data"]
    paper(capsys, *arguments, first)
    assert run(["paper", *map(str, arguments), str(other)]) == 1
    assert (
        "holds a run with data 'camvid (train)' with other content than now"
        in capsys.readouterr().err
    )


def test_a_folder_of_an_edgeseg_with_fewer_options_is_gone_on_with(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SEGNET, *NARROW, *SYNTHETIC, "-o", folder]
    plan, result = folder / JOB / "plan.json", folder / JOB / "scores.json"
    weights = folder / JOB / "last.safetensors"
    trained, done = weights.stat().st_mtime_ns, json.loads(result.read_text())
    older = json.loads(plan.read_text())
    for key in ("encoder_lr", "classmix", "data"):
        older.pop(key, None)
    plan.write_text(json.dumps(older))
    scores = {key: value for key, value in done.items() if "sha256" not in key}
    result.write_text(json.dumps({**scores, "miou": 2.0}))
    # Not trained again, but scored: the older row does not say on which images it was.
    assert paper(capsys, *arguments)["miou"] == done["miou"]
    assert weights.stat().st_mtime_ns == trained
    assert run(["paper", *map(str, arguments), "--lr", "0.5"]) == 1
    assert "lr 0.002, now 0.5" in capsys.readouterr().err
    # What was trained with another value than the default is another run.
    plan.write_text(json.dumps({**older, "encoder_lr": 0.1}))
    assert run(["paper", *map(str, arguments)]) == 1
    assert "encoder_lr 0.1, now 1.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mistake", "code"), [(["--set", "widht=1"], 2), (["--batch", "7"], 1)], ids=["set", "batch"]
)
def test_a_command_that_could_not_start_binds_nothing(
    mistake: list[str], code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [*SEGNET, *NARROW, *SYNTHETIC, "-o", tmp_path]
    assert run(["paper", *map(str, arguments), *mistake]) == code
    assert paper(capsys, *arguments)["epochs"] == 1


def test_scores_of_a_given_checkpoint_do_not_bind_a_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_checkpoint(tmp_path / "given.safetensors", 0)
    arguments = [*SEGNET, *NARROW, *SYNTHETIC, "-o", tmp_path / "out"]
    assert run(["paper", *map(str, arguments), "--batch", "7"]) == 1
    paper(capsys, *arguments, f"--checkpoint={JOB}={path}")
    assert paper(capsys, *arguments)["checkpoint"] is None
