"""`edgeseg board`: add, list, remove."""

import json
import stat
from pathlib import Path

import pytest

from edgeseg.cli import run


@pytest.fixture(autouse=True)
def config(monkeypatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return tmp_path / "edgeseg" / "boards.toml"


def test_boards_are_added_listed_replaced_and_removed(config, capsys, tmp_path):
    key = tmp_path / "my key"
    key.write_text("")
    add = ["board", "add", "orin", "nvidia@10.0.0.2", "--unchecked"]
    assert run([*add, "--port", "2222", "--key", str(key), "--extras", "cv,onnxruntime"]) == 0
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    assert run(["board", "add", "thor", "thor.local", "--unchecked", "--folder", "/mnt/x/"]) == 0
    capsys.readouterr()
    assert run(["board", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boards"] == {
        "orin": {
            "host": "10.0.0.2", "user": "nvidia", "port": 2222, "key": str(key),
            "extras": ["cv", "onnxruntime"],
        },
        "thor": {"host": "thor.local", "folder": "/mnt/x"},
    }  # fmt: skip
    assert run(add) == 0
    assert run(["board", "remove", "thor"]) == 0
    capsys.readouterr()
    assert run(["board", "list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["boards"] == {
        "orin": {"host": "10.0.0.2", "user": "nvidia"}
    }


def test_no_board_yet_names_the_command(config, capsys):
    assert run(["board", "list"]) == 0
    assert "edgeseg board add NAME user@host" in capsys.readouterr().err
    assert run(["on", "orin", "doctor"]) == 2
    assert "edgeseg board add orin user@host" in capsys.readouterr().err
    assert not config.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["orin", "-oProxyCommand=touch x@h"],
        ["orin", "h;id"],
        ["orin", "u@h", "--port", "70000"],
        ["orin", "u@h", "--key", "/no/such/key"],
        ["orin", "u@h", "--folder", "relative"],
        ["orin", "u@h", "--extras", "a b"],
        ["a,b", "u@h"],
    ],
)
def test_what_cannot_be_a_board_is_one_line_and_nothing_is_kept(config, capsys, arguments):
    assert run(["board", "add", "--unchecked", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not config.exists()
