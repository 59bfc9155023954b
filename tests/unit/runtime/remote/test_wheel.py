"""The wheel that is packed from the installed files."""

import subprocess
import sys
import zipfile
from pathlib import Path

import edgeseg
from edgeseg.runtime.remote.wheel import edgeseg_wheel


def test_the_wheel_installs_and_is_packed_once(tmp_path: Path):
    wheel, sha256 = edgeseg_wheel(tmp_path / "cache")
    packed = wheel.stat().st_mtime_ns
    assert edgeseg_wheel(tmp_path / "cache") == (wheel, sha256)
    assert wheel.stat().st_mtime_ns == packed
    # Another desk with the same files has the same wheel.
    assert edgeseg_wheel(tmp_path / "other")[1] == sha256
    with zipfile.ZipFile(wheel) as held:
        assert held.testzip() is None
        names = held.namelist()
    package = Path(edgeseg.__file__).parent
    assert {f"edgeseg/{path.name}" for path in package.glob("*.py")} <= set(names)
    assert not [name for name in names if "__pycache__" in name]
    target = tmp_path / "target"
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index",
         "--no-compile", "--disable-pip-version-check", "--target", target, wheel],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (target / "edgeseg" / "runtime" / "remote" / "agent.py").is_file()
    record = (target / f"edgeseg-{edgeseg.__version__}.dist-info" / "RECORD").read_text()
    assert "edgeseg/errors.py,sha256=" in record
    assert (target / "bin" / "edgeseg").is_file()
