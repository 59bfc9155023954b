"""What the wheel holds: the package with its data, and nothing else."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import edgeseg

REPOSITORY = Path(edgeseg.__file__).parent.parent


@pytest.fixture(scope="module")
def names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    out = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out, REPOSITORY],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    with zipfile.ZipFile(next(out.glob("*.whl"))) as wheel:
        return set(wheel.namelist())


def test_the_wheel_holds_only_the_package(names):
    tops = {name.split("/")[0] for name in names}
    assert tops == {"edgeseg", f"edgeseg-{edgeseg.__version__}.dist-info"}
    assert not [name for name in names if name.endswith((".pyc", ".plan", ".engine"))]


def test_the_wheel_holds_every_tracked_file_of_the_package(names):
    listed = subprocess.run(
        ["git", "ls-files", "edgeseg"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    tracked = set(listed.stdout.split())
    assert "edgeseg/py.typed" in tracked
    # A board needs no checkpoint; they are the wheel of packaging/zoo.
    left_out = {name for name in tracked if name.endswith("/checkpoint.safetensors")}
    assert left_out
    assert not left_out & names
    assert tracked - left_out <= names, sorted(tracked - left_out - names)


def test_the_wheel_carries_licence_and_script(names):
    info = f"edgeseg-{edgeseg.__version__}.dist-info"
    assert f"{info}/licenses/LICENSE" in names
    assert f"{info}/entry_points.txt" in names
