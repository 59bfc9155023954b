"""JobOptions: types, ranges and names of options, the same from Python as from a terminal."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import pytest

from edgeseg.core.options import (
    AMOUNT,
    RATIOS,
    JobOptions,
    changed,
    option,
    options_of,
    parse_amount,
    parse_size,
)
from edgeseg.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Base(JobOptions):
    share: float = option("A share.", least=0, most=1, most_open=True, default=0.5)
    limit: int | None = option(least=1, default=None)


@dataclasses.dataclass(frozen=True)
class Demo(Base):
    source: str = option(order=0)
    size: tuple[int, int] | None = option(default=None)
    budget: float | None = option(kind=AMOUNT, aliases=("macs",), default=None)
    teacher: tuple[Path, ...] = option(default=())
    layer_ratios: Mapping[str, float] = option(kind=RATIOS, flag="layer_ratio", default={})
    how: str = option(choices=("mean", "max"), default="mean")
    share: float = changed(Base, "share", default=0.25)
    fast: bool = option(default=False)


def test_names_of_flags_fields_and_aliases_are_taken():
    found = Demo.of(source="synthetic", macs="2.1G", layer_ratio="a=0.5", size="360x480")
    assert (found.budget, found.layer_ratios, found.size) == (2.1e9, {"a": 0.5}, (360, 480))
    assert Demo.of(source="synthetic", layer_ratios={"a": 0.5}).layer_ratios == {"a": 0.5}
    assert Demo.of(source=Path("mine")).source == "mine"


def test_one_path_and_several_become_a_tuple():
    assert Demo.of(source="x", teacher="a").teacher == (Path("a"),)
    assert Demo.of(source="x", teacher=["a", Path("b")]).teacher == (Path("a"), Path("b"))


def test_a_whole_number_is_a_number_and_true_is_none():
    assert Demo.of(source="x", share=0).share == 0.0
    with pytest.raises(UsageError, match="--share: True is not a number"):
        Demo.of(source="x", share=True)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 1.0}, "--share is 1.0, expected at least 0 and less than 1"),
        ({"share": float("nan")}, "--share is nan"),
        ({"limit": 0}, "--limit is 0, expected at least 1"),
        ({"limit": 1.5}, "--limit: 1.5 is not a whole number"),
        ({"how": "maen"}, "unknown how 'maen'; did you mean 'mean'"),
        ({"size": (360, 480, 3)}, "is not a size; give HEIGHTxWIDTH"),
        ({"layer_ratio": "a"}, "'a' is no LAYER=RATIO"),
        ({"budgte": 1}, "unknown option 'budgte'; did you mean 'budget'"),
        ({"fast": "yes"}, "--fast: 'yes' is not true or false"),
    ],
)
def test_what_cannot_be_is_refused(given, message):
    with pytest.raises(UsageError) as error:
        Demo.of(source="x", **given)
    assert message in str(error.value)


def test_all_problems_are_reported_at_once():
    with pytest.raises(UsageError) as error:
        Demo.of(source="x", share=2, limit=0)
    assert "--share" in str(error.value)
    assert "--limit" in str(error.value)


def test_what_is_missing_is_named():
    with pytest.raises(UsageError, match="--source must be given"):
        Demo.of(share=0.1)


def test_given_is_known_even_where_it_is_the_default():
    assert Demo.of(source="x", share=0.25).was_given("share")
    assert not Demo.of(source="x").was_given("share")
    # Made without `of`, a value that is not the default was given.
    assert Demo(source="x", share=0.1).was_given("share")
    assert not Demo(source="x", share=0.25).was_given("share")
    with pytest.raises(UsageError, match="--share, --layer-ratio would change nothing: because"):
        Demo.of(source="x", share=0.25, layer_ratios={}).refuse_given(
            ("share", "limit", "layer_ratios"), "because"
        )


def test_a_subclass_changes_a_default_and_keeps_help_and_range():
    about, _ = options_of(Demo)["share"]
    assert (about.help, about.most, Demo.of(source="x").share) == ("A share.", 1, 0.25)
    assert next(iter(options_of(Demo))) == "source"


@pytest.mark.parametrize(("text", "amount"), [("0.5", 0.5), ("900M", 9e8), ("2k", 2e3), (3, 3.0)])
def test_amounts(text, amount):
    assert parse_amount(text) == amount


@pytest.mark.parametrize("text", ["", "G", "-1", "0", "inf", "nan", "1T"])
def test_no_amount(text):
    with pytest.raises(UsageError, match="is no amount"):
        parse_amount(text)


def test_sizes():
    assert parse_size("1x2") == parse_size([1, 2]) == (1, 2)
    for wrong in ("1x", "1x2x3", (1,), (1.0, 2), 5):
        with pytest.raises(UsageError, match="is not a size"):
            parse_size(wrong)
