"""No child process runs Python code of the folder that a user happens to stand in."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import edgeseg

PACKAGE = Path(edgeseg.__file__).parent
SCRIPTS = PACKAGE.parent / "deploy" / "install.sh"
PYTHONS = ("sys.executable", "'python3'", "python", "inner")


def starts(path: Path) -> list[str]:
    """Every list that begins with a Python and has -c or -m in it."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.List) and node.elts:
            words = [ast.unparse(element) for element in node.elts]
            is_python = words[0] in PYTHONS or "bin/python" in words[0]
            if is_python and {"'-c'", "'-m'"} & set(words):
                found.append(" ".join(words))
    return found


def test_every_child_is_isolated():
    found = [line for path in PACKAGE.rglob("*.py") for line in starts(path)]
    assert len(found) >= 7, "the search finds nothing any more"
    assert [line for line in found if line.split()[1] != "'-I'"] == []


def test_the_installer_is_isolated():
    if not SCRIPTS.is_file():
        pytest.skip("deploy/ is not installed")
    calls = re.findall(r"^[^#\n]*python3?\"? (?:-I )?-[cm].*$", SCRIPTS.read_text(), re.MULTILINE)
    assert len(calls) >= 6
    assert [call for call in calls if " -I -" not in call and "apt-get" not in call] == []


def test_a_module_of_the_working_directory_is_not_imported(tmp_path):
    for name in ("pickle", "json", "cv2", "signal"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close(); raise SystemExit(9)")
    # neg takes no `progress`: the child's own answer is a TypeError.
    script = (
        "import operator\n"
        "from edgeseg.errors import BackendError\n"
        "from edgeseg.runtime.engine.subprocess_call import call_in_subprocess\n"
        "try:\n"
        "    call_in_subprocess(operator.neg, 1, what='it')\n"
        "except BackendError as error:\n"
        "    print(error)\n"
    )
    driver = tmp_path / "elsewhere" / "driver.py"
    driver.parent.mkdir()
    driver.write_text(script)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, str(driver)], cwd=tmp_path, env=environment, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert "TypeError" in done.stdout, done.stderr
    assert not (tmp_path / "ran").exists()
