"""Everything that reaches a terminal goes through edgeseg/cli/common/output.py, which cleans it."""

import ast
from pathlib import Path

import edgeseg

ROOT = Path(edgeseg.__file__).parent
# output.py cleans what it prints; the last line of an error is cleaned where it is made; a signal's
# line is constant; the agent runs on a board by itself, and the desk cleans what it hears.
MAY_PRINT = {
    "cli/__init__.py", "cli/common/output.py", "cli/common/signals.py", "runtime/remote/agent.py",
}  # fmt: skip
RAW = {"print", "echo", "secho"}


def raw_writes(source: str) -> list[int]:
    """Return the lines that print or write to a standard stream."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if called in RAW or called in {
            "click.echo", "click.secho", "sys.stdout.write", "sys.stderr.write",
        }:  # fmt: skip
            found.append(node.lineno)
    return found


def test_only_the_cleaned_places_print():
    found = {
        f"{path.relative_to(ROOT)}:{line}"
        for path in sorted(ROOT.rglob("*.py"))
        if str(path.relative_to(ROOT)) not in MAY_PRINT
        for line in raw_writes(path.read_text())
    }
    assert not found, f"{found}: call say, answer, relay or print_table of cli/common/output.py"


def test_a_raw_write_is_found():
    assert raw_writes("import sys\nprint(name)\nsys.stderr.write(name)\nx.echo(name)") == [2, 3]
