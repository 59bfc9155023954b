"""Tests about the tests: none may be unable to fail."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent
FILES = sorted(TESTS.rglob("test_*.py"))


def can_fail(node: ast.AST) -> bool:
    return any(
        isinstance(part, ast.Assert)
        or (isinstance(part, ast.Attribute) and part.attr in ("raises", "fail", "warns"))
        or (isinstance(part, ast.Attribute) and part.attr.startswith("assert_"))
        for part in ast.walk(node)
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(TESTS)))
def test_every_test_function_can_fail(path: Path):
    tree = ast.parse(path.read_text(), str(path))
    helpers = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("test") and can_fail(node)
    }
    empty = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef) or not node.name.startswith("test"):
            continue
        called = {
            getattr(call.func, "id", getattr(call.func, "attr", None))
            for call in ast.walk(node)
            if isinstance(call, ast.Call)
        }
        if not can_fail(node) and not called & helpers:
            empty.append(node.name)
    assert not empty, f"{path.name}: no assertion in {', '.join(empty)}"


def test_there_are_tests_to_look_at():
    assert len(FILES) > 10
