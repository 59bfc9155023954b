"""`edgeseg predict`: files, folders, damaged pictures."""

import json

import cv2
import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.core.images.io import write_png
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_PALETTE

pytest.importorskip("onnxruntime")


def picture(path, label, size_hw=(40, 60)):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.full((*size_hw, 3), CAMVID_PALETTE[label], np.uint8))


def test_one_picture_gives_one_file(colour_bundle, tmp_path, capsys):
    picture(tmp_path / "road.png", 3)
    out = tmp_path / "new" / "labels.png"
    words = ["predict", str(colour_bundle.path), str(tmp_path / "road.png"), "-o", str(out)]
    assert run([*words, "--as", "labels"]) == 0
    assert (cv2.imread(str(out), -1) == 3).all()
    assert f"{CAMVID_CLASSES[3]} 100.0%" in capsys.readouterr().out


def test_a_folder_keeps_its_folders_and_junk_is_left(colour_bundle, tmp_path, capsys):
    picture(tmp_path / "in" / "a.png", 1)
    picture(tmp_path / "in" / "deeper" / "b.png", 2)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    out = tmp_path / "out"
    words = ["predict", str(colour_bundle.path), str(tmp_path / "in"), "-o", str(out), "--json"]
    assert run(words) == 0
    document = json.loads(capsys.readouterr().out)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.*")) == [
        "a.png",
        "deeper/b.png",
    ]
    shares = [row["shares"] for row in document["pictures"]]
    assert shares[0][CAMVID_CLASSES[1]] == shares[1][CAMVID_CLASSES[2]] == 1


def test_a_damaged_picture_is_named_and_the_rest_is_done(colour_bundle, tmp_path, capsys):
    picture(tmp_path / "in" / "b.png", 1)
    (tmp_path / "in" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    out = tmp_path / "out"
    assert run(["predict", str(colour_bundle.path), str(tmp_path / "in"), "-o", str(out)]) == 1
    said = capsys.readouterr()
    assert "a.png: not an image" in said.err
    assert "1 of 2 pictures could not be read" in said.err
    assert (out / "b.png").is_file()


def test_pictures_that_would_meet_are_refused_before_anything_runs(colour_bundle, tmp_path, capsys):
    picture(tmp_path / "x" / "a.png", 1)
    picture(tmp_path / "y" / "a.png", 1)
    folders = [str(tmp_path / "x"), str(tmp_path / "y")]
    out = tmp_path / "out"
    assert run(["predict", str(colour_bundle.path), *folders, "-o", str(out)]) == 2
    assert "would both be written" in capsys.readouterr().err
    assert not out.exists()
    again = [str(tmp_path / "x" / "a.png"), "-o", str(tmp_path / "x" / "a.png")]
    assert run(["predict", str(colour_bundle.path), *again]) == 2
    assert "would be overwritten" in capsys.readouterr().err
