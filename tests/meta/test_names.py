"""The public names: listed once, sorted, and all there."""

import importlib

import pytest

import edgeseg


def test_all_is_sorted_and_matches_what_is_visible():
    assert edgeseg.__all__ == sorted(edgeseg.__all__)
    assert dir(edgeseg) == sorted([*edgeseg.__all__, "__version__"])
    assert set(edgeseg.__all__) == set(edgeseg._HOMES)


@pytest.mark.parametrize("name", edgeseg.__all__)
def test_a_name_loads_from_its_home(name):
    home = importlib.import_module(edgeseg._HOMES[name])
    assert getattr(edgeseg, name) is getattr(home, name)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        edgeseg.nothing  # noqa: B018
