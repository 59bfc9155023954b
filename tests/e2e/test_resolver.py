"""The target's install has a wheel for every part on both Pythons of a Jetson."""

import subprocess
import sys
from pathlib import Path

import pytest

import edgeseg

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(edgeseg.__file__).parent.parent / "pyproject.toml"
if not PROJECT.is_file():
    pytest.skip("pyproject.toml is not installed", allow_module_level=True)
# pip matches tags exactly, so each one that a wheel may carry is listed.
TAGS = [f"manylinux_2_{minor}_aarch64" for minor in (17, 26, 27, 28, 31)]
TAGS += ["manylinux2014_aarch64"]
OFFLINE = ("Could not fetch URL", "Temporary failure in name resolution", "Connection", "timed out")


@pytest.mark.parametrize(
    ("python", "board"), [("3.10", "JetPack 6"), ("3.12", "JetPack 7")], ids=["cp310", "cp312"]
)
def test_every_requirement_has_an_aarch64_wheel(python: str, board: str, tmp_path: Path):
    project = tomllib.loads(PROJECT.read_text())["project"]
    extras = project["optional-dependencies"]
    # Markers are those of this machine to pip's eyes, so a board's own lines are chosen here.
    cuda = "cuda-python>=12.6,<13" if python == "3.10" else "cuda-python>=12.6"
    wanted = [*project["dependencies"], *extras["onnxruntime"], cuda, "tomli>=2.0"]
    wanted = [line for line in wanted if ";" not in line]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--ignore-installed",
         "--disable-pip-version-check", "--only-binary=:all:", "--target", tmp_path,
         "--python-version", python, "--implementation", "cp",
         *(word for tag in TAGS for word in ("--platform", tag)), *wanted],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode and any(word in done.stderr for word in OFFLINE):
        pytest.skip("no package index here")
    assert done.returncode == 0, f"{board}: {done.stderr}"


def test_jetpack_6_is_held_below_cuda_python_13():
    extras = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]
    # Not a part of `tensorrt`: a CUDA runtime in a wheel may be newer than the board's driver.
    assert not any("cuda" in line for line in extras["tensorrt"])
    lines = [line for line in extras["cuda"] if "<13" in line]
    assert len(lines) == 1
    assert "aarch64" in lines[0]
    assert not any(line.startswith("opencv") for line in extras["tensorrt"])
