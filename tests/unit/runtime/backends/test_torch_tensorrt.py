"""The torch_tensorrt backend against the argument list of the real package, without a GPU."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from tinybundle import SIZE_HW, tiny_bundle
from trt_lines import CACHE, TESTS, run

FLOW = TESTS / "bindings" / "torch_flow.py"
WHEEL = "torch-tensorrt==2.13.0"
MODULE = "torch_tensorrt/dynamo/runtime/_TorchTensorRTModule.py"


@pytest.fixture(scope="module")
def source() -> Path:
    """The real class's source. The wheel is 4 MB and asks for no GPU to be read."""
    folder = CACHE / WHEEL.replace("==", "-")
    if not (folder / MODULE).is_file():
        got = subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", CACHE,
             "--only-binary=:all:", "--disable-pip-version-check", WHEEL],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        wheels = sorted(CACHE.glob("torch_tensorrt-2.13.0-*.whl"))
        if not wheels:
            pytest.skip(f"no {WHEEL} from the package index: {got.stderr.strip()[-200:]}")
        with zipfile.ZipFile(wheels[0]) as archive:
            archive.extract(MODULE, folder)
    return folder / MODULE


def test_it_runs_through_and_names_what_is_wrong(source, tmp_path):
    tiny_bundle(tmp_path / "b", precision="int8")
    # Torch-TensorRT 2.13 is built on the 11 line.
    done = run("11.4.0", FLOW, tmp_path / "b", tmp_path / "c", EDGESEG_TORCH_TENSORRT=str(source))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["same"] == [True] * 3
    assert found["io"]["frame_shape"] == [1, *SIZE_HW, 3]
    assert found["io"]["runtime"].startswith("torch_tensorrt over tensorrt 11.4")
    assert found["wrong"][0] == "BackendError"
    assert found["closed"][0] == "BackendError"
    assert "closed" in found["closed"][1]
    assert found["damaged"][0] == "BackendError"
    assert "give edgeseg build --rebuild" in found["damaged"][1]
    assert "\n" not in found["damaged"][1]
