"""Registries: own names, names of installed packages, and messages."""

from importlib.metadata import EntryPoint

import pytest

from edgeseg.core import registry as module
from edgeseg.core.registry import Registry
from edgeseg.errors import UsageError


@pytest.fixture
def shapes(monkeypatch) -> Registry:
    points = [
        EntryPoint("added", "json:dumps", "edgeseg.shapes"),
        EntryPoint("own", "json:loads", "edgeseg.shapes"),
        EntryPoint("broken", "no_such_package:thing", "edgeseg.shapes"),
    ]
    monkeypatch.setattr(
        module.importlib.metadata,
        "entry_points",
        lambda group: points if group == "edgeseg.shapes" else [],
    )
    return Registry("shape", "shapes", {"own": "math:sqrt", "gone": "math:no_such_name"})


def test_our_names_come_first_and_cannot_be_replaced(shapes):
    assert list(shapes) == ["own", "gone", "added", "broken"]
    assert shapes.load("own")(9) == 3
    assert shapes.load("added")([1]) == "[1]"


def test_an_unknown_name_offers_the_nearest(shapes):
    with pytest.raises(UsageError, match="unknown shape 'addded'; did you mean 'added'"):
        shapes.load("addded")


def test_a_package_that_cannot_be_imported_is_named(shapes):
    with pytest.raises(UsageError, match="'no_such_package:thing' of an installed package"):
        shapes.load("broken")


def test_a_fault_of_ours_is_not_hidden(shapes):
    with pytest.raises(AttributeError):
        shapes.load("gone")


def test_a_package_installed_since_is_read_after_reload(shapes, monkeypatch):
    assert "later" not in shapes
    later = EntryPoint("later", "json:dumps", "edgeseg.shapes")
    monkeypatch.setattr(module.importlib.metadata, "entry_points", lambda group: [later])
    assert "later" not in shapes
    shapes.reload()
    assert shapes.load("later")([1]) == "[1]"
