import pytest

from edgeseg.errors import UsageError
from edgeseg.runtime.gate.budget import Budget, read_budget


def test_budget_names_every_wrong_key_at_once():
    budget = Budget.from_document({"min_miou": 0.6, "max_peak_bytes": 10})
    assert (budget.min_miou, budget.max_peak_bytes, budget.min_fps) == (0.6, 10, None)
    with pytest.raises(UsageError, match=r"'fps'.*min_miou is 'high'.*known keys"):
        Budget.from_document({"fps": 3, "min_miou": "high"})


def test_a_budget_limits_classes_by_name():
    budget = Budget.from_document({"min_class_iou": {"Pole": 0.1}, "max_bundle_bytes": 3e6})
    assert budget.min_class_iou == {"Pole": 0.1}
    assert isinstance(budget.max_bundle_bytes, int)
    with pytest.raises(UsageError, match=r"max_fps.*min_class_iou.Pole is 'x'"):
        Budget.from_document({"min_class_iou": {"Pole": "x"}, "max_fps": 3})
    with pytest.raises(UsageError, match="expected a table"):
        Budget.from_document({"min_class_iou": 0.3})


@pytest.mark.parametrize("key", ["max_peak_bytes", "max_infer_p50_ms"])
def test_a_limit_without_end_is_none(key):
    with pytest.raises(UsageError, match=f"{key} is inf, expected a number"):
        Budget.from_document({key: float("inf")})


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({}, "it sets no limit"),
        ({"strict": True}, "it sets no limit"),
        ({"strict": 1, "min_miou": 0.5}, "strict is 1, expected true"),
        ({"min_class_iou": {}}, "min_class_iou names no class"),
        ({"min_miou": -0.1}, "min_miou is -0.1, expected a number of at least 0 and at most 1"),
        ({"min_miou": 60}, "min_miou is 60"),
        ({"min_miou": True}, "min_miou is True"),
        ({"min_class_iou": {"Road": float("nan")}}, "min_class_iou.Road is nan"),
        ({"max_infer_p50_ms": -1}, "max_infer_p50_ms is -1"),
        ({"max_peak_bytes": 10**400}, "max_peak_bytes is 1000"),
    ],
)
def test_a_limit_that_limits_nothing_or_that_nothing_keeps_is_refused(table, said):
    with pytest.raises(UsageError, match=said):
        Budget.from_document(table)


def test_a_limit_outside_its_table_is_named(tmp_path):
    path = tmp_path / "b.toml"
    path.write_text("min_miou = 0.9\n[budget]\nmin_fps = 1\n")
    with pytest.raises(UsageError, match="'min_miou' outside any table"):
        read_budget(path)
