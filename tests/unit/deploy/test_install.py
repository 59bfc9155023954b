"""deploy/install.sh with the files that the container gets; python3 is a stand-in."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"
if not DEPLOY.is_dir():
    pytest.skip("deploy/ is not installed", allow_module_level=True)
PYTHON = """#!/bin/sh
case "$*" in
"-I -m venv"*)
    for folder; do :; done
    mkdir -p "$folder/bin"
    cp "$0" "$folder/bin/python"
    cp "$0" "$folder/bin/edgeseg" ;;
*__file__*) echo /usr/lib/cv2.so ;;
*numpy*) echo 1.26.4 ;;
esac
"""


@pytest.mark.parametrize("whole", [True, False])
def test_what_the_container_copies_installs_into_any_folder(whole, tmp_path):
    copied = re.findall(r"deploy/[\w.]+", re.search(r"COPY (deploy/.*)", recipe())[1])
    (tmp_path / "src/deploy").mkdir(parents=True)
    for name in copied:
        shutil.copy(DEPLOY.parent / name, tmp_path / "src" / name)
    binaries = tmp_path / "bin"
    binaries.mkdir()
    (binaries / "python3").write_text(PYTHON)
    (binaries / "python3").chmod(0o755)
    target = tmp_path / "src" / "here"
    place = str(target) if whole else "here"
    subprocess.run(
        ["sh", "deploy/install.sh", place], cwd=tmp_path / "src", check=True,
        env={**os.environ, "PATH": f"{binaries}:{os.environ['PATH']}"}, capture_output=True,
    )  # fmt: skip
    unit, settings = target / "edgeseg.service", target / "edgeseg.env"
    assert f"ExecStart={target}/venv/bin/edgeseg" in unit.read_text()
    assert f"BUNDLE={target}/bundles/model" in settings.read_text()
    assert settings.stat().st_mode & 0o777 == 0o600
    assert "/opt/edgeseg" not in unit.read_text() + settings.read_text()


def test_the_service_passes_no_address_as_an_argument():
    """Every user reads the arguments of a process, and an address may hold a password."""
    unit = (DEPLOY / "edgeseg.service").read_text()
    command = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert " env:SOURCE env:SINK " in command
    assert "${SOURCE}" not in unit
    assert "${SINK}" not in unit


def recipe() -> str:
    return (DEPLOY / "Dockerfile").read_text()
