"""The target's side runs where torch is not installed, and the host's verbs say what they need."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from draft_graph import clean

import edgeseg

ROOT = Path(edgeseg.__file__).parent
HOST_VERBS = {
    "demo": [],
    "train": ["segnet", "--data", "synthetic"],
    "prune": ["x.safetensors", "--data", "synthetic"],
    "tune": ["x.safetensors", "--data", "synthetic"],
    "qat": ["x.safetensors", "--data", "synthetic"],
    "export": ["x", "--fp32"],
}

# Stands in for a machine without these packages: the finder of installed ones does not see them.
BLOCK = """
import importlib.machinery, sys
real = importlib.machinery.PathFinder
class Finder(real):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        absent = name.split(".")[0] in {packages!r}
        return None if absent else real.find_spec(name, path, target)
sys.meta_path[sys.meta_path.index(real)] = Finder
"""
HOST_PACKAGES = ("torch", "torch_pruning", "onnxscript", "safetensors")
RUNTIMES = ("onnxruntime", "openvino", "tensorrt", "cv2", "onnx")


def python(script: str, *arguments: str, block: tuple[str, ...]) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(packages=block) + script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


# Adapters of packages that only a machine with a GPU has; tests/unit/runtime imports them.
ON_GPU = ("cuda_python.py", "pycuda.py", "torch_tensorrt.py")


def modules(*rooms: str) -> list[str]:
    files = [path for room in rooms for path in sorted((ROOT / room).rglob("*.py"))]
    files = [path for path in files if path.name not in ON_GPU]
    names = [".".join(("edgeseg", *path.relative_to(ROOT).with_suffix("").parts)) for path in files]
    return [name.removesuffix(".__init__") for name in names if not name.endswith("__main__")]


def test_core_lint_runtime_and_cli_import_without_torch():
    script = "import importlib\nfor name in sys.argv[1:]: importlib.import_module(name)"
    done = python(script, *modules("core", "lint", "runtime", "cli"), block=HOST_PACKAGES)
    assert done.returncode == 0, done.stderr


def test_lint_needs_onnx_and_numpy_alone(tmp_path):
    """All of lint imports, and judges a graph, with every other package absent."""
    onnx = pytest.importorskip("onnx")
    script = (
        "import importlib, sys\n"
        "for name in sys.argv[2:]: importlib.import_module(name)\n"
        "import onnx\n"
        "from edgeseg.lint.check import lint\n"
        "result = lint(onnx.load(sys.argv[1]))\n"
        "print(len(result.plans), result.ok)\n"
        "rooms = {name.split('.')[1] for name in sys.modules if name.startswith('edgeseg.')}\n"
        "assert rooms == {'core', 'errors', 'lint'}, rooms\n"
    )
    others = ("cv2", "onnxruntime", "openvino", "tensorrt", "jaxtyping", "click", "rich", "jinja2")
    block = (*HOST_PACKAGES, *others)
    onnx.save(clean().model(), tmp_path / "clean.onnx")
    done = python(script, str(tmp_path / "clean.onnx"), *modules("lint"), block=block)
    assert (done.returncode, done.stdout) == (0, "4 True\n"), done.stderr


def test_help_needs_neither_torch_nor_a_runtime_nor_opencv():
    script = "from edgeseg.cli import run\nsys.exit(run(sys.argv[1:]))"
    done = python(script, "--help", block=(*HOST_PACKAGES, *RUNTIMES, "rich", "numpy"))
    assert done.returncode == 0, done.stderr
    assert "Deploy:" in done.stdout


@pytest.mark.parametrize("verb", HOST_VERBS)
def test_a_host_verb_names_the_pip_line(verb):
    script = "from edgeseg.cli import run\nsys.exit(run(sys.argv[1:]))"
    done = python(script, verb, *HOST_VERBS[verb], block=HOST_PACKAGES)
    assert done.returncode == 5, done.stderr
    assert "torch" in done.stderr
    assert "pip install 'edgeseg[host]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_name_of_the_workstation_tells_which_extra_brings_it():
    script = (
        "import sys, edgeseg\n"
        "try: edgeseg.export\n"
        "except edgeseg.BackendUnavailable as error: sys.exit(str(error))\n"
    )
    done = python(script, block=HOST_PACKAGES)
    assert "edgeseg.export needs" in done.stderr
    assert "pip install 'edgeseg[host]'" in done.stderr


def test_lint_names_an_extra_that_brings_no_torch(colour_bundle):
    script = "from edgeseg.cli import run\nsys.exit(run(sys.argv[1:]))"
    done = python(script, "lint", str(colour_bundle.path), block=("onnx", *HOST_PACKAGES))
    assert done.returncode == 5
    assert "lint needs onnx" in done.stderr
    assert "pip install 'edgeseg[lint]'" in done.stderr


def test_a_missing_runtime_names_the_pip_line(colour_bundle):
    script = "from edgeseg.cli import run\nsys.exit(run(sys.argv[1:]))"
    command = ["verify", str(colour_bundle.path), "--backend", "onnxruntime"]
    done = python(script, *command, block=RUNTIMES)
    assert done.returncode == 5, done.stderr
    assert "pip install 'edgeseg[onnxruntime]'" in done.stderr
    done = python(script, *command[:2], block=RUNTIMES)
    assert done.returncode == 5, done.stderr
    assert "no runtime is installed" in done.stderr


def best_of(count: int, *arguments: str) -> float:
    """Least processor time of several runs, in seconds: a busy machine stretches only the clock."""
    times = []
    for _ in range(count):
        child = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        assert child.returncode == 0
        times.append(usage.ru_utime + usage.ru_stime)
    return min(times)


def test_import_and_help_are_quick():
    assert best_of(5, "-c", "import edgeseg") - best_of(5, "-c", "pass") < 0.1
    assert best_of(5, "-m", "edgeseg.cli", "--help") < 0.3


@pytest.mark.slow
def test_a_fresh_environment_without_torch(tmp_path: Path, colour_bundle):
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    repository = ROOT.parent
    binary = environment / "bin"

    def call(*command: str, **extra) -> subprocess.CompletedProcess:
        clean = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        return subprocess.run(
            command, capture_output=True, text=True, check=False, env=clean, cwd=tmp_path, **extra
        )

    wheels = tmp_path / "wheels"
    built = call(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(wheels),
        str(repository),
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    wheel = next(wheels.glob("*.whl"))
    pip = call(
        str(binary / "python"), "-m", "pip", "install", "--quiet", f"{wheel}[cv,onnxruntime]"
    )
    assert pip.returncode == 0, pip.stderr
    script = (
        "import importlib, importlib.util, sys\n"
        "assert importlib.util.find_spec('torch') is None\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\n"
    )
    wanted = [name for name in modules("core", "lint", "runtime", "cli") if "openvino" not in name]
    done = call(str(binary / "python"), "-W", "error", "-c", script, *wanted)
    assert done.returncode == 0, done.stderr
    edgeseg_script = str(binary / "edgeseg")
    assert call(edgeseg_script, "--help").returncode == 0
    done = call(edgeseg_script, "verify", str(colour_bundle.path), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["ok"] is True
    for verb, arguments in HOST_VERBS.items():
        done = call(edgeseg_script, verb, *arguments)
        assert done.returncode == 5, done.stderr
