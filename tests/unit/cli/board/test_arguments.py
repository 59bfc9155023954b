"""Which words of a verb name files of the desk."""

from pathlib import Path

import click
import pytest

from edgeseg.cli import edgeseg_command
from edgeseg.cli.board.arguments import ROLES, words_for
from edgeseg.errors import EdgesegError, UsageError
from edgeseg.runtime.remote.job import Brought, Sent


def verb(name: str) -> click.Command:
    command = edgeseg_command.get_command(click.Context(edgeseg_command), name)
    assert command is not None
    return command


def words(name: str, *arguments: object, label: str = "") -> list:
    return words_for(name, [str(each) for each in arguments], verb(name), label=label)


@pytest.mark.parametrize("name", ROLES)
def test_every_path_of_a_verb_has_a_role(name):
    takes = {each.name for each in verb(name).params if isinstance(each.type, click.Path)}
    assert takes <= set(ROLES[name]), f"{name} on a board would lose {takes - set(ROLES[name])}"
    assert set(ROLES[name]) <= {each.name for each in verb(name).params}


def test_results_of_every_spelling_are_brought(tmp_path: Path, colour_bundle, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = words(
        "bench", colour_bundle.path, "--html=page.html", "-oout.json", "--csv", "a b.csv",
        "--rounds", "2", "--json", "segnet-basic-camvid", "--data", "synthetic:4",
    )  # fmt: skip
    assert found == [
        "bench", Sent(colour_bundle.path),
        Brought(Path("page.html"), "page.html", prefix="--html="),
        Brought(Path("out.json"), "out.json", prefix="-o"), "--csv",
        Brought(Path("a b.csv"), "a b.csv"), "--rounds", "2", "--json", "segnet-basic-camvid",
        "--data", "synthetic:4",
    ]  # fmt: skip


def test_sinks_and_sources_are_told_from_addresses(tmp_path: Path, colour_bundle, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "frames").mkdir()
    (tmp_path / "labels").mkdir()
    found = words(
        "stream", colour_bundle.path, "csi://0", "null", "mjpeg://127.0.0.1:8080", "labels",
        "x.mp4", "--also", "frames", "--dashboard", "--json",
    )  # fmt: skip
    assert found[2:5] == ["csi://0", "null", "mjpeg://127.0.0.1:8080"]
    assert found[5] == Brought(Path("labels/"), "labels/", folder=True)
    assert found[6] == Brought(Path("x.mp4"), "x.mp4")
    assert found[7:] == ["--also", Sent(Path("frames")), "--dashboard", "--json"]


def test_what_lies_on_the_board_is_named_so(colour_bundle):
    found = words("eval", "board:/opt/model", "--data", "board:/data/camvid")
    assert found == ["eval", "/opt/model", "--data", "/data/camvid"]


def test_labels_tell_results_of_several_boards_apart(colour_bundle, tmp_path: Path):
    (*_, report) = words("verify", colour_bundle.path)
    assert report == Sent(colour_bundle.path)
    found = words("bench", "-o", tmp_path / "bench.json", label="orin")
    assert found[-1].path == tmp_path / "bench-orin.json"


def test_the_default_folder_of_eval_is_the_desks(colour_bundle):
    found = words("eval", colour_bundle.path, "--data", "synthetic:2", "--save-errors", "2")
    assert found[1:3] == ["-o", Brought(Path("runs/eval/colour"), "runs/eval/colour", folder=True)]


def test_an_accepted_baseline_comes_back(tmp_path: Path):
    report, baseline = tmp_path / "report.json", tmp_path / "baseline.json"
    report.write_text("{}")
    found = words("gate", report, "--baseline", baseline, "--accept", "why")
    assert found[3] == Brought(baseline, str(baseline), also_read=True)
    with pytest.raises(UsageError, match=r"--baseline .* does not exist here"):
        words("gate", report, "--baseline", baseline)


@pytest.mark.parametrize(
    "arguments",
    [
        ("verify", "no-such-bundle"),
        ("verify", "no/such/bundle"),
        ("eval", "segnet-basic-camvid", "--data", "no/such/data"),
        ("stream", "segnet-basic-camvid", "no-such-video.mp4"),
        ("bench", "-o", "/tmp"),
        ("stream", "segnet-basic-camvid", "csi://0", "odd-sink"),
        ("train", "segnet"),
    ],
)
def test_a_place_that_cannot_work_is_refused_here(arguments):
    with pytest.raises(EdgesegError):
        words(*arguments) if arguments[0] != "train" else words_for("train", [], verb("train"))


def test_a_device_is_the_boards_own():
    assert words("bench", "-o", "/dev/null")[-1] == "/dev/null"
