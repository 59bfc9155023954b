import json
from pathlib import Path

import pytest

from edgeseg.cli import run
from edgeseg.cli.common.run_page import write_run_page
from edgeseg.core.data.open import open_dataset
from edgeseg.host.checkpoint import load_checkpoint
from edgeseg.host.training.curves import EpochRow, write_curves


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    folders = []
    for number, name in enumerate(("first", "second")):
        folder = tmp_path / name
        folder.mkdir()
        scores = {"miou": 0.5 + number / 10, "global_accuracy": 0.8, "class_accuracy": 0.7}
        rows = [EpochRow(1, 2.0, 1e-3, 3.0), EpochRow(2, 1.0, 1e-3, 3.0, scores)]
        write_curves(folder, rows)
        record = {"epochs": 2, "best_epoch": 2, "seconds": 6.0, "scores": scores}
        (folder / "scores.json").write_text(json.dumps(record))
        folders.append(folder)
    return folders


def test_runs_stand_beside_each_other(runs, capsys, tmp_path):
    page = tmp_path / "compare.html"
    assert run(["compare", *map(str, runs), "--html", str(page), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["runs"]
    assert [one["scores"]["miou"] for one in found] == [0.5, 0.6]
    assert found[1]["curve"][1] == {"epoch": 2, "loss": 1.0, "miou": 0.6}
    assert found[1]["curve"][0]["miou"] is None
    html = page.read_text()
    assert all(str(folder) in html for folder in runs)
    assert html.count("<polyline") == 4
    assert run(["compare", *map(str, runs)]) == 0
    assert "0.6000" in capsys.readouterr().out


def test_a_folder_without_a_run_is_named(tmp_path, capsys):
    assert run(["compare", str(tmp_path)]) == 2
    assert "holds no finished run" in capsys.readouterr().err


def test_a_runs_page_shows_curves_scores_and_pictures(tmp_path, small_checkpoint):
    checkpoint = load_checkpoint(small_checkpoint)
    data = open_dataset("synthetic:4", "val", size_hw=(64, 96))
    ious = [0.5] * (checkpoint.spec.n_classes - 1) + [None]
    scores = {"miou": 0.4321, "per_class_iou": ious}
    rows = [EpochRow(1, 2.0, 1e-3, 3.0, scores), EpochRow(2, 1.0, 1e-3, 3.0, scores)]
    html = write_run_page(tmp_path / "train" / "x", rows, scores, checkpoint, data).read_text()
    assert html.count("<polyline") == 2
    assert html.count("data:image/") == 3 * 4
    assert html.count("<rect") == checkpoint.spec.n_classes - 1
    assert "0.4321" in html
    plain = write_run_page(tmp_path / "prune" / "x", [], {}, checkpoint, None).read_text()
    assert "<polyline" not in plain


def test_damaged_lines_of_a_curve_are_passed_over_and_a_damaged_record_is_named(runs, capsys):
    (runs[0] / "curves.csv").write_text("epoch,loss,miou\n1,x,0.1\n2,0.5,0.25\n3,nan,\n4\n")
    assert run(["compare", str(runs[0]), "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["runs"]
    assert found["curve"] == [{"epoch": 2, "loss": 0.5, "miou": 0.25}]
    for text in ("[]", '{"scores": 3}', "[" * 9999):
        (runs[0] / "scores.json").write_text(text)
        assert run(["compare", str(runs[0])]) == 2
        assert "scores.json" in capsys.readouterr().err
