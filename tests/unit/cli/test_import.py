"""`edgeseg import` of an ONNX file, and the verbs that are given one."""

import json

import pytest
from foreign_onnx import CLASSES, classes_txt, network

from edgeseg.cli import run


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    network(tmp_path / "net.onnx")
    classes_txt(tmp_path)
    return tmp_path


def test_an_import_names_the_next_command(folder, capsys):
    assert run(["import", "net.onnx", "--classes", "classes.txt", "--unit"]) == 0
    out, err = capsys.readouterr()
    assert "runs/import/net" in out
    assert "gives scores of 3 classes as scores, 32x48" in err
    assert "next: edgeseg export runs/import/net --int8 --calibrate DATA" in err
    assert run(["verify", "runs/import/net", "--backend", "onnxruntime"]) == 0


def test_an_import_prints_json(folder, capsys):
    words = ["import", "net.onnx", "--classes", "classes.txt", "--raw", "-o", "x", "--json"]
    assert run(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["path"] == "x"
    assert document["bundle"]["precision"] == "fp32"


def test_what_is_no_network_is_one_line_and_leaves_nothing(folder, capsys):
    (folder / "net.onnx").write_text("words")
    assert run(["import", "net.onnx", "--classes", "classes.txt", "--unit", "-o", "x"]) == 1
    assert "is not an ONNX file, or is damaged" in capsys.readouterr().err
    assert sorted(p.name for p in folder.iterdir()) == ["classes.txt", "net.onnx"]


@pytest.mark.parametrize(
    "words",
    [
        ["eval", "net.onnx", "--data", "synthetic:2"],
        ["bench", "net.onnx", "--data", "synthetic:2"],
        ["stream", "net.onnx", "synthetic:2"],
        ["verify", "net.onnx"],
        ["build", "net.onnx"],
        ["predict", "net.onnx", "photo.png", "-o", "x.png"],
    ],
    ids=lambda words: words[0],
)
def test_a_verb_that_is_given_an_onnx_file_names_the_import(words, folder, capsys):
    (folder / "photo.png").touch()
    assert run(words) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert "edgeseg import net.onnx --classes classes.txt --size 32x48 --mean R,G,B" in error


def test_classes_of_another_count_are_named(folder, capsys):
    (folder / "classes.txt").write_text("\n".join((*CLASSES, "one more")))
    assert run(["import", "net.onnx", "--classes", "classes.txt", "--unit"]) == 1
    assert "gives 3 classes, --classes names 4 (floor, …)" in capsys.readouterr().err
