"""`edgeseg data` on a folder, damaged data and a video."""

import json
from pathlib import Path

import numpy as np
import pytest

from edgeseg.cli import run
from edgeseg.core.images.io import write_png


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for k in range(10):
        labels = np.zeros((48, 64), np.uint8)
        labels[10 : 12 + k, 20:40], labels[0, :5] = 1, 2
        write_png(tmp_path / f"mine/images/{k}.png", rng.integers(0, 256, (48, 64, 3), np.uint8))
        write_png(tmp_path / f"mine/masks/{k}.png", labels)
    (tmp_path / "mine/classes.txt").write_text("floor\npallet <b>\nperson\n")
    return tmp_path


def test_it_says_what_it_is_and_writes_page_and_copy(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "mine", "-o", "plain", "--json"]) == 0
    out, err = capsys.readouterr()
    assert err.splitlines()[0] == "mine: read as masks by images/ and classes.txt"
    assert "3 classes: floor" in err
    assert "8 train, 2 val (blocks of frames, see --split-by)" in err
    document = json.loads(out)
    assert document["splits"]["train"]["images"] == 8
    page = (folder / "runs/data/mine.html").read_text()
    assert "pallet &lt;b&gt;" in page
    assert "<b>" not in page
    assert page.count("data:image/") >= 3
    assert "http" not in page.replace("http://www.w3.org", "")
    assert run(["data", "plain"]) == 0
    assert "8 train, 2 val" in capsys.readouterr().err


def test_damaged_data_is_named_whole(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k in (1, 9):
        (folder / f"mine/masks/{k}.png").write_bytes(b"")
    assert run(["data", "mine", "-o", "plain"]) == 1
    err = capsys.readouterr().err
    assert "masks/1.png: not an image" in err
    assert "masks/9.png: not an image" in err
    assert not (folder / "plain").exists()


def test_options_of_writing_need_o(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "mine", "--every", "2"]) == 2
    assert "--every would change nothing: nothing is written without -o" in capsys.readouterr().err
