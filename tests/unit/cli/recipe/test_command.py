"""The recipe verb: whole runs on a folder in CamVid's layout, cut off and resumed."""

import json
import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.cli.export import command as export
from edgeseg.core.recipe import Recipe
from edgeseg.errors import RecipeError
from edgeseg.host.recipe.plan import KEYS, stages
from tests.data_folders import name_camvid_classes

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TRAIN = """arch = "segnet-basic"
[[step]]
kind = "train"
data = "camvid"
size = [48, 64]
crop = [32, 48]
set = { channels = 8, kernel = 3 }
epochs = 1
batch = 2
"""
QAT = """[[step]]
kind = "quantize"
data = "camvid"
images = 2
observer = "max"
bias_correct = true
[[step]]
kind = "qat"
data = "camvid"
crop = [32, 48]
epochs = 1
batch = 2
scales = "learned"
"""
BALANCE = '[[step]]\nkind = "balance"\ndata = "camvid"\ntake_back = 0.25\n'


@pytest.fixture(scope="module")
def camvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("camvid")
    name_camvid_classes(root)
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (root / split).mkdir()
        (root / f"{split}annot").mkdir()
        for number in range(3):
            labels = rng.integers(0, 12, (6, 8), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
            cv2.imwrite(str(root / split / f"A_{number}.png"), labels[..., None].repeat(3, 2) * 20)
            cv2.imwrite(str(root / f"{split}annot" / f"A_{number}.png"), labels)
    return root


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(text)
    return path


def commands(recipe: str) -> list[list[str]]:
    parsed = Recipe.from_document(tomllib.loads(recipe), KEYS)
    return [[stage.verb, *stage.arguments] for stage in stages(parsed, {"camvid": "/d"})]


def test_steps_become_the_commands_that_the_recipe_speaks_of() -> None:
    middle = """[[step]]
kind = "prune"
target_macs = 0.5
layer_ratios = { "aspp.*" = 0.6 }
[[step]]
kind = "finetune"
data = "camvid"
mix = "synthetic"
lr = 1e-3
result = "last"
stop_after = 3
"""
    assert commands(TRAIN + middle + QAT) == [
        ["train", "segnet-basic", "--data", "/d", "--size", "48x64", "--crop", "32x48",
         "--set", "channels=8", "--set", "kernel=3", "--epochs", "1", "--batch", "2"],
        ["prune", "{input}", "--target-macs", "0.5", "--layer-ratio", "aspp.*=0.6"],
        ["train", "segnet-basic", "--init", "{input}", "--data", "/d", "--mix", "synthetic",
         "--lr", "0.001", "--result", "last", "--stop-after", "3"],
        ["qat", "{input}", "--data", "/d", "--images", "2", "--observer", "max", "--bias-correct",
         "--crop", "32x48", "--epochs", "1", "--batch", "2", "--scales", "learned"],
    ]  # fmt: skip
    alone = '[[step]]\nkind = "quantize"\ndata = "camvid"\nequalize = true\n'
    assert commands(TRAIN + alone)[-1] == [
        "export", "{input}", "--int8", "--calibrate", "/d", "--equalize",
    ]  # fmt: skip


def test_a_recipe_can_start_from_a_checkpoint(tmp_path, capsys) -> None:
    text = """arch = "segnet-basic"
start = "dense"
[[step]]
kind = "prune"
target_macs = 0.5
data = "camvid"
epochs = 2
distill = 0.5
"""
    path, dense = written(tmp_path, text + QAT), tmp_path / "d.safetensors"
    command = ["recipe", str(path), "--where", "camvid=/d", "--where", f"dense={dense}"]
    assert run([*command, "--dry-run"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == (f"edgeseg prune {dense} --target-macs 0.5 --data /d --epochs 2 --distill 0.5")
    assert second.startswith("edgeseg qat {input} --data /d")
    assert run([*command, "-o", str(tmp_path / "run")]) == 2
    assert "--where dense=CHECKPOINT" in capsys.readouterr().err
    with pytest.raises(RecipeError, match="prune cannot stand first"):
        commands(text.replace('start = "dense"\n', ""))


def test_a_step_can_name_its_teachers() -> None:
    one = TRAIN.replace('data = "camvid"', 'data = "camvid"\nteacher = "camvid"\ndistill = 2.0', 1)
    assert "--teacher /d --distill 2.0" in " ".join(commands(one)[0])
    two = one.replace('"camvid"\ndistill', '["camvid", "b.safetensors"]\ndistill')
    words = commands(two)[0]
    places = [index for index, word in enumerate(words) if word == "--teacher"]
    assert [words[index + 1] for index in places] == ["/d", "b.safetensors"]


def test_a_step_can_name_its_encoders_weights_and_paste_classes() -> None:
    given = 'data = "camvid"\nencoder_weights = "camvid"\nencoder_lr = 0.1\nclassmix = 0.5'
    words = " ".join(commands(TRAIN.replace('data = "camvid"', given, 1))[0])
    assert "--encoder-weights /d --encoder-lr 0.1 --classmix 0.5" in words


def test_what_no_command_can_do_is_refused() -> None:
    with pytest.raises(RecipeError, match="qat calibrates on what it trains on"):
        commands(TRAIN + QAT.replace('data = "camvid"', 'data = "synthetic"', 1))
    with pytest.raises(RecipeError, match="a second qat"):
        commands(TRAIN + QAT + '[[step]]\nkind = "qat"\ndata = "camvid"\n')
    with pytest.raises(RecipeError, match=r"step 2 \(balance\): it needs data and take_back"):
        commands(TRAIN + BALANCE.replace("take_back = 0.25", ""))


@pytest.mark.parametrize(
    ("option", "named"), [("max_drop = 0.01", "max_drop"), ('keep_float = ["auto"]', "keep_float")]
)
def test_what_only_qat_can_carry_out_is_refused_in_a_recipe_that_ends_with_quantize(
    option: str, named: str
) -> None:
    last = f'[[step]]\nkind = "quantize"\ndata = "camvid"\n{option}\n'
    with pytest.raises(RecipeError, match=rf"step 2 \(quantize\): {named}.*qat step"):
        commands(TRAIN + last)
    both = QAT.replace("images = 2", option)
    assert f"--{named.replace('_', '-')}" in commands(TRAIN + both)[-1]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ("epochs = 0", "step 1 (train): --epochs is 0, expected at least 1"),
        ('epochs = "many"', "step 1 (train): --epochs: 'many' is not a whole number"),
        ('photometry = "mlid"', "unknown photometry 'mlid'; did you mean 'mild'?"),
        ("epohcs = 1", "did you mean 'epochs'?"),
    ],
)
def test_a_wrong_value_is_named_before_anything_runs(tmp_path, capsys, changed, said) -> None:
    path = written(tmp_path, TRAIN.replace("epochs = 1", changed) + QAT)
    assert run(["recipe", str(path), "-o", str(tmp_path / "run")]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_export_has_every_other_option_of_quantize() -> None:
    known = {word for parameter in export.params for word in parameter.opts}
    words = {f"--{key.replace('_', '-')}" for key in KEYS["quantize"]} - {"--data"}
    assert words - known == {"--max-drop"}


def test_a_recipe_runs_skips_what_is_done_and_refuses_what_changed(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edgeseg.host.checkpoint import load_checkpoint

    out = tmp_path / "run"
    rest = ["--where", f"camvid={camvid}", "-o", str(out), "--json"]
    assert run(["recipe", str(written(tmp_path, TRAIN)), *rest]) == 0
    first = json.loads(capsys.readouterr().out)
    made = Path(first["checkpoint"]).stat().st_mtime_ns
    assert run(["recipe", str(written(tmp_path, TRAIN + QAT + BALANCE)), *rest]) == 0
    output = capsys.readouterr()
    document = json.loads(output.out)
    assert "1-train: done already" in output.err
    assert Path(first["checkpoint"]).stat().st_mtime_ns == made
    assert [row["step"] for row in document["steps"]] == ["1-train", "2-qat", "3-balance"]
    steps = load_checkpoint(Path(document["checkpoint"])).steps
    assert [step.kind for step in steps] == ["train", "quantize", "qat", "balance"]
    assert steps[1].options["bias_correct"] is steps[1].options["learned_scales"] is True
    changed = TRAIN.replace("epochs = 1", "epochs = 2")
    assert run(["recipe", str(written(tmp_path, changed)), *rest]) == 2
    assert "other options" in capsys.readouterr().err


def test_a_step_that_fails_is_named_and_gone_on_with(
    camvid: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rest = ["-o", str(tmp_path / "run"), "--json"]
    path = str(written(tmp_path, TRAIN))
    assert run(["recipe", path, *rest]) == 1  # `camvid` is no folder here
    output = capsys.readouterr()
    assert "step 1-train: " in output.err
    assert "give the same command to go on there" in output.err
    assert output.out == ""


def test_a_dry_run_prints_the_commands_and_bad_files_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["recipe", str(written(tmp_path, TRAIN)), "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("edgeseg train segnet-basic --data camvid")
    place = ["--where", "camvid=/data/Cam Vid"]
    assert run(["recipe", str(written(tmp_path, TRAIN)), "--dry-run", *place]) == 0
    words = shlex.split(capsys.readouterr().out.splitlines()[0])
    assert words[:5] == ["edgeseg", "train", "segnet-basic", "--data", "/data/Cam Vid"]
    one_side = re.sub(r"crop = .*", "crop = 32", TRAIN)
    assert run(["recipe", str(written(tmp_path, one_side)), "--dry-run"]) == 2
    assert "step 1 (train): --crop: 32 is not a size" in capsys.readouterr().err
    assert run(["recipe", str(written(tmp_path, "arch = ")), "--dry-run"]) == 2
    assert run(["recipe", str(tmp_path / "none.toml")]) == 2
    assert run(["recipe", str(written(tmp_path, TRAIN)), "--where", "camvid"]) == 2
    assert "is no NAME=DATA" in capsys.readouterr().err
    assert run(["recipe", str(written(tmp_path, TRAIN)), "--where", "camvdi=/data"]) == 2
    assert "has no such name; it has camvid" in capsys.readouterr().err
