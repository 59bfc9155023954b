"""Imports go one way: errors, core, then lint and runtime, then host, then cli; never in a circle.

`pytest -n0 -s tests/meta/test_imports.py -k report` prints the folders, their files and circles.
"""

import ast
import functools
from collections.abc import Callable, Mapping
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

# More files than this and a reader no longer sees at a glance what a folder is about.
MOST_MODULES = 16


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}
FOLDERS = sorted({path.parent for path in MODULES})


def room(path: Path) -> str:
    part = path.relative_to(ROOT).parts[0]
    return part.removesuffix(".py")


@functools.cache
def imported(path: Path) -> set[str]:
    """Every module named by an import statement, at the top or inside a function."""
    return names_in(path.read_text(), str(path))


def names_in(text: str, where: str) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(text, where)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{where}: relative import; the rule is written for full names"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                # A module of the package; else the module that holds the name.
                names.add(full if full in PATHS else str(node.module))
                if full == "edgeseg.__version__":
                    # A constant at the top of the package; reading it needs nothing of it.
                    names.discard("edgeseg")
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_imports_only_rooms_before_its_own(path: Path):
    here = room(path)
    if here in ("__init__", "__main__", "zoo", "pytest_plugin"):
        return
    allowed = ROOMS[here] | {here}
    rooms = {name.split(".")[1] for name in imported(path) if name.startswith("edgeseg.")}
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


GRAPH = {
    name: {other for other in imported(path) if other in PATHS and other != name}
    for name, path in PATHS.items()
}


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the strongly connected components of more than one node (Tarjan, 1972)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in graph[node]:
            if other not in order:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], order[other])
        if low[node] == order[node]:
            component = [stack.pop()]
            while component[-1] != node:
                component.append(stack.pop())
            if len(component) > 1:
                found.append(sorted(component))

    for node in graph:
        if node not in order:
            visit(node)
    return found


def entries(folder: str) -> dict[str, set[str]]:
    """Return who imports whom among a folder's own modules and its sub-folders, each a whole."""

    def entry(module: str) -> str | None:
        if module == folder:
            return "__init__"
        inside = module.startswith(f"{folder}.")
        return module[len(folder) + 1 :].split(".")[0] if inside else None

    graph: dict[str, set[str]] = {}
    for module, others in GRAPH.items():
        here = entry(module)
        if here is not None:
            reached = {entry(other) for other in others} - {None, here}
            graph.setdefault(here, set()).update(one for one in reached if one)
    return graph


def modules_in(folder: Path) -> list[Path]:
    return [path for path in PATHS.values() if path.parent == folder and path.stem != "__init__"]


def test_no_circle_between_modules():
    assert circles(GRAPH) == []


@pytest.mark.parametrize("folder", [module_name(f / "__init__.py") for f in FOLDERS])
def test_no_circle_between_the_entries_of_a_folder(folder: str):
    assert circles(entries(folder)) == []


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT.parent)))
def test_no_folder_is_too_full(folder: Path):
    assert len(modules_in(folder)) <= MOST_MODULES


def test_the_report(record_property: Callable[[str, object], None]):
    counts = {str(f.relative_to(ROOT.parent)): len(modules_in(f)) for f in FOLDERS}
    found = circles(GRAPH)
    record_property("modules", len(GRAPH))
    record_property("folders", len(counts))
    record_property("most modules in a folder", max(counts.values()))
    record_property("imports", sum(map(len, GRAPH.values())))
    record_property("circles", len(found))
    lines = [f"{count:4d}  {name}" for name, count in counts.items()]
    print(
        "", *lines, f"{len(GRAPH)} modules, {len(counts)} folders, {len(found)} circles", sep="\n"
    )
    assert sum(counts.values()) + len(FOLDERS) >= len(GRAPH) > 200


def test_a_circle_is_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"a"}}
    assert circles(graph) == [["b", "c"]]
    assert circles({**graph, "d": {"e"}}) == [["a", "b", "c", "d", "e"]]


def test_every_kind_of_import_counts():
    text = (
        "import edgeseg.errors\n"
        "from edgeseg.core import files\n"
        "from edgeseg import __version__\n"
        "def later():\n    from edgeseg.core.bundle import Bundle\n"
    )
    assert names_in(text, "") == {"edgeseg.errors", "edgeseg.core.files", "edgeseg.core.bundle"}
