"""Imports go one way: errors, core, then lint and runtime, then host, then cli."""

import ast
from pathlib import Path

import pytest

import edgeseg

ROOT = Path(edgeseg.__file__).parent
ROOMS = {
    "errors": set(),
    "core": {"errors"},
    "lint": {"errors", "core"},
    "runtime": {"errors", "core", "lint"},
    "host": {"errors", "core", "lint", "runtime"},
    "cli": {"errors", "core", "lint", "runtime", "host"},
}
# Libraries that only one room may touch.
TORCH = {"torch", "torch_pruning", "onnxscript", "safetensors"}
RUNTIMES = {"onnxruntime", "openvino", "tensorrt"}
MODULES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Every module named by an import statement, at the top or inside a function."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; the rule is written for full names"
            names.add(node.module)
            if node.module == "edgeseg":
                names |= {f"edgeseg.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_rooms_before_its_own(path: Path):
    here = room(path)
    if here in ("__init__", "__main__", "zoo", "pytest_plugin"):
        return
    allowed = ROOMS[here] | {here}
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("edgeseg.")}
    rooms -= {"__version__"}
    assert rooms <= allowed, f"{here} imports {sorted(rooms - allowed)}"
    packages = {name.split(".")[0] for name in imported(path)}
    if path.name == "torch_tensorrt.py":
        # The one backend that runs inside PyTorch, on a workstation; nothing else imports it.
        packages -= {"torch"}
    if here in ("errors", "core", "lint", "runtime"):
        assert not packages & TORCH, f"{sorted(packages & TORCH)} belong to host"
    if here in ("errors", "core", "cli"):
        assert not packages & RUNTIMES, f"{sorted(packages & RUNTIMES)} belong to runtime"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_only_the_command_line_reads_argv_environment_and_cwd(path: Path):
    # The agent is a program of its own, which runs on a board.
    if room(path) == "cli" or path == ROOT / "runtime" / "remote" / "agent.py":
        return
    tree = ast.parse(path.read_text(), str(path))
    found = [
        f"{ast.unparse(node)} (line {node.lineno})"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and (ast.unparse(node) in ("os.environ", "os.getenv", "os.getcwd", "sys.argv", "Path.cwd"))
    ]
    assert not found, f"{path.relative_to(ROOT)} reads {', '.join(found)}"


def test_the_walk_sees_every_room():
    assert {room(path) for path in MODULES} >= set(ROOMS)
