"""Recipes, budgets and scripts outside the package: each must at least parse."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edgeseg
from edgeseg.core.recipe import Recipe
from edgeseg.lint.boards import BOARDS
from edgeseg.runtime.gate.budget import Budget

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

REPOSITORY = Path(edgeseg.__file__).parent.parent
BUDGETS = sorted((REPOSITORY / "deploy" / "targets").glob("*.toml"))
RECIPES = sorted((REPOSITORY / "calibration").glob("*.toml"))
SCRIPTS = [*sorted((REPOSITORY / "deploy").glob("*.sh")), REPOSITORY / ".ci" / "run"]


@pytest.mark.parametrize("path", BUDGETS, ids=lambda path: path.stem)
def test_a_board_has_a_budget_and_says_that_nothing_was_measured(path: Path):
    text = path.read_text()
    document = tomllib.loads(text)
    budget = Budget.from_document(document["budget"])
    assert budget.max_peak_bytes is not None
    assert budget.max_peak_bytes < document["board"]["memory_bytes"]
    assert document["board"]["measured"] is False
    assert "Not measured" in text


@pytest.mark.parametrize("path", BUDGETS, ids=lambda path: path.stem)
def test_a_budgets_board_is_one_whose_peaks_the_package_knows(path: Path):
    board = tomllib.loads(path.read_text())["board"]
    assert board["id"] == path.stem
    known = BOARDS[board["id"]]
    assert board["memory_bytes"] == known.memory_bytes
    assert board["compute_capability"] == known.compute_capability


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_parses(path: Path):
    recipe = Recipe.from_document(tomllib.loads(path.read_text()))
    assert (recipe.steps[0].kind == "train") == (recipe.start is None)


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_a_script_is_executable_shell(path: Path):
    assert path.stat().st_mode & 0o111
    assert path.read_text().startswith("#!/bin/sh\n")
    done = subprocess.run(["sh", "-n", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_service_runs_a_verb_that_exists_with_the_settings_it_reads():
    unit = (REPOSITORY / "deploy" / "edgeseg.service").read_text()
    # ${NAME} is an argument, which every user can read; env:NAME is not.
    names = set(re.findall(r"\$\{(\w+)\}|env:(\w+)", unit))
    names = {name for pair in names for name in pair if name}
    given = (REPOSITORY / "deploy" / "edgeseg.env").read_text()
    assert names == set(re.findall(r"^(\w+)=", given, re.MULTILINE))
    assert re.search(r"ExecStart=\S+/edgeseg stream ", unit)


def test_a_silent_camera_ends_the_services_run_before_its_watchdog_kills_it():
    unit = (REPOSITORY / "deploy" / "edgeseg.service").read_text()
    (patience,) = re.findall(r"ExecStart=.* --give-up (\d+)s$", unit, re.MULTILINE)
    (watchdog,) = re.findall(r"^WatchdogSec=(\d+)s$", unit, re.MULTILINE)
    # Masks come again within a frame; what is left is for ending the run in order.
    assert int(patience) + 5 <= int(watchdog)
    # A camera that is off all night: systemd must not stop trying.
    assert "\nStartLimitIntervalSec=0\n" in unit


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_shellcheck_has_nothing_to_say(path: Path):
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck")
    done = subprocess.run(["shellcheck", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_systemd_reads_the_service_without_a_word(tmp_path: Path):
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze")
    unit = (REPOSITORY / "deploy" / "edgeseg.service").read_text()
    # What it starts is not installed here.
    (tmp_path / "edgeseg.service").write_text(
        unit.replace("/opt/edgeseg/venv/bin/edgeseg", "/bin/sh")
    )
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "edgeseg.service"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_leaves_the_gpu_and_the_camera_daemon_in_sight():
    unit = (REPOSITORY / "deploy" / "edgeseg.service").read_text()
    settings = dict(re.findall(r"^(\w+)=(.*)$", unit, re.MULTILINE))
    # Each hides /dev/nvmap, /dev/video0 or /tmp/argus_socket on some systemd of a JetPack.
    hiding = {"PrivateDevices", "DevicePolicy", "DeviceAllow", "ProtectClock", "PrivateTmp"}
    assert not hiding & set(settings)
    assert settings["ProtectSystem"] == "strict"
    assert settings["CapabilityBoundingSet"] == ""
    assert {"WatchdogSec", "StateDirectory", "NoNewPrivileges"} <= set(settings)


def test_there_are_boards_to_check():
    assert {path.stem for path in BUDGETS} >= {
        "orin-nano", "orin-nx", "agx-orin", "thor", "xavier-nx",
    }  # fmt: skip
