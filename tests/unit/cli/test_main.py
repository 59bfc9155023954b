import errno
import json
import subprocess
import sys

import click
import pytest

import edgeseg.cli
from edgeseg.cli import VERBS, edgeseg_command, run
from edgeseg.errors import AccuracyMissed, BackendUnavailable, DataError, LatencyMissed
from edgeseg.host.models import MODELS


def raising(error: BaseException) -> click.Command:
    def body() -> None:
        raise error

    return click.Command("raising", callback=body)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (DataError("a  folder\nis empty"), 1, "a folder is empty"),
        (AccuracyMissed("mIoU 0.1"), 3, "mIoU 0.1"),
        (LatencyMissed("90 ms"), 4, "90 ms"),
        (BackendUnavailable("no runtime"), 5, "no runtime"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (OSError(errno.ENOSPC, "No space left on device"), 1, "the disk is full"),
        (OSError(errno.EFBIG, "File too large", "x.bin"), 1, "x.bin: the file is larger"),
        (PermissionError(errno.EACCES, "Permission denied", "y"), 1, "y: Permission denied"),
    ],
)
def test_each_failure_is_one_line_with_its_code(monkeypatch, capsys, error, code, message):
    monkeypatch.setattr(edgeseg_command, "get_command", lambda ctx, name: raising(error))
    assert run(["models"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    err = err.lstrip("\n")  # click leaves the line on which the terminal shows ^C
    assert err.startswith("edgeseg: error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_bug_is_one_line_that_names_the_file_of_its_traceback(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    error = ZeroDivisionError("division by zero")
    monkeypatch.setattr(edgeseg_command, "get_command", lambda ctx, name: raising(error))
    assert run(["models"]) == 70
    err = capsys.readouterr().err
    assert err.startswith("edgeseg: error: internal error, ZeroDivisionError: division by zero")
    assert err.count("\n") == 1
    (kept,) = tmp_path.iterdir()
    assert str(kept) in err
    assert "Traceback" in kept.read_text()
    monkeypatch.setenv("EDGESEG_TRACEBACK", "1")
    assert run(["models"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_the_end_of_a_librarys_file_is_no_interrupt(monkeypatch, capsys, tmp_path):
    """click takes every EOFError for a closed terminal."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(
        edgeseg_command, "get_command", lambda ctx, name: raising(EOFError("no data"))
    )
    assert run(["models"]) == 70
    assert "EOFError: no data" in capsys.readouterr().err


def test_an_unknown_verb_offers_the_nearest(capsys):
    assert run(["modls"]) == 2
    assert "did you mean 'models'?" in capsys.readouterr().err


def test_only_train_shares_its_work_among_torchruns_processes(monkeypatch, capsys):
    monkeypatch.setenv("WORLD_SIZE", "2")
    # A cluster's scheduler may set the size alone; what runs then is one process.
    assert run(["models", "--json"]) == 0
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert run(["models", "--json"]) == 2
    assert "torchrun started 2 processes, and models would run whole" in capsys.readouterr().err
    assert run(["train", "--help"]) == 0


@pytest.mark.parametrize("seed", ["-1", str(10**20)])
def test_a_seed_that_no_generator_takes_is_refused(seed, capsys):
    assert run(["train", "segnet-basic", "--data", "synthetic:4", "--seed", seed]) == 2
    assert f"{seed} is not in the range" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "why"),
    [(("--distill", "0.3"), "there is no --teacher"), (("--mix-share", "0.7"), "no --mix")],
)
def test_options_of_what_is_not_given_are_refused(option, why, capsys, tmp_path):
    arguments = ["train", "segnet-basic", "--data", "synthetic:4", "-o", str(tmp_path / "out")]
    assert run([*arguments, *option]) == 2
    message = capsys.readouterr().err
    assert f"{option[0]} would change nothing" in message
    assert why in message
    assert not (tmp_path / "out").exists()


def test_a_bad_option_is_one_line_and_points_at_the_help(capsys):
    assert run(["models", "--size", "3"]) == 2
    err = capsys.readouterr().err
    assert "'3' is not a size" in err
    assert "edgeseg models --help" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example_and_json(verb, capsys):
    assert run([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"edgeseg {verb}" in text.split("Example", 1)[1]
    # `on` passes the options of the verb it runs; `board` is a group, its parts have their own.
    if verb not in ("on", "board"):
        assert "--json" in text
    if verb == "board":
        assert run(["board", "list", "--help"]) == 0
        assert "--json" in capsys.readouterr().out


def test_models_prints_one_document(capsys):
    assert run(["models", "--json", "--size", "64x96"]) == 0
    document = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in document["architectures"]}
    assert {"deeplabv3plus-mobilenetv2", "segnet", "fcn-8s", "unet"} < set(rows)
    assert all(row["size_hw"] == [64, 96] and row["macs"] > row["params"] for row in rows.values())
    assert set(document) == {"architectures", "zoo"}


def test_the_table_of_models_keeps_a_line_for_each_at_80_columns(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # 80 columns, and no colours to count
    assert run(["models", "--size", "64x96"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name in MODELS:
        (line,) = [line for line in lines if line.split()[:1] == [name]]
        assert "arXiv" in line


def test_a_reader_that_leaves_early_is_no_error():
    script = f"{sys.executable} -m edgeseg.cli doctor --json | head -c 1"
    done = subprocess.run(script, shell=True, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout == "{"


def test_the_group_knows_exactly_the_verbs_that_have_a_module():
    context = click.Context(edgeseg_command)
    for verb in VERBS:
        command = edgeseg_command.get_command(context, verb)
        assert command is not None
        assert command.name == verb
    assert edgeseg_command.get_command(context, "nothing") is None
    assert edgeseg.cli.INTERRUPTED == 130
