"""--crf of eval and stream, in this process, on a bundle that labels by colour."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.core.bundle import Bundle
from tests.data_folders import name_camvid_classes

# The bundle's scores are squares of colours, so that the weights are large.
SETTINGS = "appearance=2e4 position=8 colour=60 smoothness=1e4 radius=1 iterations=3"
CRF = ["--crf", *(word for text in SETTINGS.split() for word in ("--crf-set", text))]


@pytest.fixture
def blocks(tmp_path: Path, colour_bundle: Bundle) -> Path:
    """Two areas of a class's colour each, under noise that makes pixels look like other classes."""
    palette = np.array(colour_bundle.spec.palette, np.uint8)
    name_camvid_classes(tmp_path)
    lines = []
    for folder in ("val", "valannot", "train", "trainannot"):
        (tmp_path / folder).mkdir()
    for number in range(2):
        labels = np.zeros((64, 96), np.uint8)
        labels[:, 40 + 9 * number :] = 5
        noise = np.random.default_rng(number).normal(0, 45, (64, 96, 3))
        rgb = (palette[labels] + noise).clip(0, 255).astype(np.uint8)
        for split in ("val", "train"):
            cv2.imwrite(str(tmp_path / f"{split}/{number}.png"), rgb[..., ::-1])
            cv2.imwrite(str(tmp_path / f"{split}annot/{number}.png"), labels)
        lines.append(f"/{number}.png")
    for split in ("val", "train"):
        text = "".join(f"{split}{line} {split}annot{line}\n" for line in lines)
        (tmp_path / f"{split}.txt").write_text(text)
    return tmp_path


def document(capsys, *arguments: object) -> dict:
    assert run([*map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_eval_refines_and_says_what_it_cost(blocks, colour_bundle, capsys):
    arguments = ["eval", colour_bundle.path, "--data", blocks, "--backend", "onnxruntime"]
    plain = document(capsys, *arguments)
    refined = document(capsys, *arguments, *CRF)
    assert "crf" not in plain
    assert refined["crf"]["colour"] == 60
    assert refined["crf"]["ms_per_frame"] > 0
    assert refined["backend"]["runtime"].endswith("+ dense CRF")
    assert refined["global_accuracy"] > plain["global_accuracy"] + 0.05
    assert refined["bf"] > plain["bf"]
    assert run([*map(str, arguments), *CRF]) == 0
    assert "the dense CRF took" in capsys.readouterr().err


def test_stream_gives_evals_scores_and_its_price(blocks, colour_bundle, capsys):
    runtime = ["--backend", "onnxruntime", *CRF]
    scored = document(capsys, "eval", colour_bundle.path, "--data", blocks, "--no-bf", *runtime)
    source = [colour_bundle.path, blocks / "val", "--labels", blocks / "valannot"]
    report = document(capsys, "stream", *source, *runtime)
    assert report["accuracy"]["global_accuracy"] == scored["global_accuracy"]
    assert report["run"]["crf"]["ms_per_frame"] > 0
    assert report["run"]["crf"]["iterations"] == 3
    assert run(["stream", *map(str, source), *runtime]) == 0
    line = next(
        x for x in capsys.readouterr().out.splitlines() if x.strip().startswith("dense CRF")
    )
    assert "ms a frame" in line
    assert "of infer" in line


def test_search_ranks_on_training_images_and_prints_the_next_command(
    blocks, colour_bundle, capsys, monkeypatch
):
    from edgeseg.runtime.evaluation import crf_search

    grid = crf_search.CrfGrid((1.0, 4.0), (8.0,), (60.0,), (0.0, 2.0), (1.0,))
    whole = crf_search.search_crf
    monkeypatch.setattr(crf_search, "search_crf", lambda *a, **k: whole(*a, grid=grid, **k))
    arguments = ["eval", colour_bundle.path, "--data", blocks, "--crf-search"]
    arguments += ["--backend", "onnxruntime"]
    assert run([*map(str, arguments)]) == 2
    assert "add --split train" in capsys.readouterr().err
    trials = document(capsys, *arguments, "--split", "train")["trials"]
    assert trials[0]["crf"] is None
    assert trials[1]["miou"] == max(trial["miou"] for trial in trials)
    assert trials[1]["miou"] > trials[0]["miou"]
    assert run([*map(str, arguments), "--split", "train"]) == 0
    told = capsys.readouterr()
    assert "no CRF" in told.out
    words = told.err.split("next: edgeseg ")[1].split()
    words = words[: words.index("--crf") + 1 + 2 * 6]
    assert run([*words, "--no-bf", "--split", "train", "--json", "--backend", "onnxruntime"]) == 0
    assert json.loads(capsys.readouterr().out)["miou"] == pytest.approx(trials[1]["miou"])


def test_the_files_own_arithmetic_has_no_scores_to_refine(colour_bundle, capsys):
    arguments = ["eval", str(colour_bundle.path), "--data", "synthetic:1", "--exact", "--crf"]
    assert run(arguments) == 2
    assert "leave one out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--crf-set", "colour=3"], "there is no --crf"),
        (["--crf", "--crf-set", "color=3"], "colour"),
        (["--crf", "--crf-set", "colour=-3"], "colour is -3.0, expected a number above 0"),
        (["--crf", "--crf-set", "colour"], "give KEY=VALUE"),
        (["--crf", "--crf-set", "iterations=2.5"], "expected a whole number"),
    ],
)
@pytest.mark.parametrize("verb", ["eval", "stream"])
def test_wrong_values_are_told(colour_bundle, capsys, verb, given, message):
    source = ["--data", "synthetic:1"] if verb == "eval" else ["synthetic://?frames=1"]
    assert run([verb, str(colour_bundle.path), *source, *given]) == 2
    assert message in capsys.readouterr().err
