"""Our stand-in for cuda-python against the real module: names and calls, without a GPU."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from trt_lines import CACHE, TESTS

import edgeseg
from edgeseg.errors import BackendUnavailable
from edgeseg.runtime.cuda.gpu import find_gpu

ADAPTER = Path(edgeseg.__file__).parent / "runtime" / "cuda" / "cuda_python.py"
# Every call as the adapter makes it; without a driver each must answer 35 and raise nothing.
CALLS = """
from cuda.bindings import runtime as r
calls = [
    ("cudaSetDevice", 0), ("cudaMalloc", 16), ("cudaFree", 0), ("cudaMallocHost", 16),
    ("cudaFreeHost", 0),
    ("cudaMemcpyAsync", 1, 2, 3, r.cudaMemcpyKind.cudaMemcpyHostToDevice, 5),
    ("cudaMemcpyAsync", 1, 2, 3, r.cudaMemcpyKind.cudaMemcpyDeviceToHost, 5),
    ("cudaStreamCreateWithFlags", r.cudaStreamNonBlocking), ("cudaStreamDestroy", 5),
    ("cudaStreamSynchronize", 5), ("cudaEventCreateWithFlags", r.cudaEventDisableTiming),
    ("cudaEventDestroy", 5), ("cudaEventRecord", 5, 6), ("cudaStreamWaitEvent", 5, 6, 0),
    ("cudaEventSynchronize", 5),
    ("cudaStreamBeginCapture", 5, r.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal),
    ("cudaStreamEndCapture", 5), ("cudaGraphInstantiate", 5, 0), ("cudaGraphDestroy", 5),
    ("cudaGraphLaunch", 5, 6), ("cudaGraphExecDestroy", 5),
]
for name, *args in calls:
    print(name, int(getattr(r, name)(*args)[0]))
"""


def _has_driver() -> bool:
    try:
        find_gpu()
    except BackendUnavailable:
        return False
    return True


def called() -> set[str]:
    tree = ast.parse(ADAPTER.read_text())
    return {
        node.args[0].value
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "self._call"
    }


def test_the_calls_below_are_the_adapters():
    assert called() == {line.split('"')[1] for line in CALLS.split("(") if line.startswith('"cuda')}


def test_the_stand_in_has_what_the_adapter_calls():
    source = (TESTS / "bindings" / "doubles" / "cuda" / "bindings" / "runtime.py").read_text()
    functions = {n.name for n in ast.parse(source).body if isinstance(n, ast.FunctionDef)}
    assert called() <= functions


@pytest.mark.slow
@pytest.mark.parametrize("version", ["12.9.4", "13.0.3"])
def test_the_real_module_takes_every_call(version: str):
    if _has_driver():
        pytest.skip("made-up handles would crash a real driver")
    folder = CACHE / f"cuda-bindings-{version}-cp{sys.version_info[0]}{sys.version_info[1]}"
    if not folder.is_dir():
        got = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder,
             "--only-binary=:all:", f"cuda-bindings=={version}", "cuda-pathfinder"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if got.returncode:
            pytest.skip(f"no cuda-bindings from the package index: {got.stderr.strip()[-200:]}")
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        env={**os.environ, "PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = dict(line.split() for line in done.stdout.splitlines())
    assert set(answers) == called()
    assert set(answers.values()) == {"35"}  # cudaErrorInsufficientDriver
