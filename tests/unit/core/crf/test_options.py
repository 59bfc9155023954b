"""What the dense CRF's options accept."""

import math

import pytest

from edgeseg.core.crf.options import CrfOptions
from edgeseg.errors import UsageError


def test_settings_change_by_name() -> None:
    changed = CrfOptions().with_settings({"appearance": 7, "iterations": 2})
    assert (changed.appearance, changed.iterations) == (7, 2)
    assert changed.position == CrfOptions().position


def test_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(UsageError, match=r"apearance.*appearance"):
        CrfOptions().with_settings({"apearance": 7})


@pytest.mark.parametrize(
    "settings",
    [
        {"appearance": -1},
        {"smoothness": math.nan},
        {"position": 0},
        {"colour": math.inf},
        {"radius": "wide"},
        {"appearance": True},
        {"iterations": 2.5},
        {"iterations": -1},
        {"iterations": 10**9},
        {"iterations": True},
    ],
)
def test_impossible_values_are_refused(settings: dict[str, object]) -> None:
    (name,) = settings
    with pytest.raises(UsageError, match=f"{name} is .*, expected"):
        CrfOptions().with_settings(settings)


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(UsageError, match=r"appearance.*radius"):
        CrfOptions(appearance=-1.0, radius=-1.0)
