"""Every lint rule says what it can find, and finds nothing else on good graphs."""

import pytest
from draft_graph import clean

from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.core.graph.load import read_graph
from edgeseg.core.graph.view import GraphView
from edgeseg.core.zoo import default_bundle
from edgeseg.lint.finding import SEVERITIES, remarks_of
from edgeseg.lint.rules import LINT_RULES
from edgeseg.lint.tensorrt_versions import LINES


@pytest.fixture(scope="module")
def views() -> list[GraphView]:
    """A clean graph, a shipped one, and both with FP16 islands."""
    models = [clean().model(), read_graph(default_bundle().onnx_path)]
    return [GraphView(m) for model in models for m in (model, with_fp16_islands(model))]


@pytest.mark.parametrize("name", LINT_RULES)
def test_a_rule_declares_what_it_finds(name: str, views: list[GraphView]) -> None:
    rule = LINT_RULES.load(name)
    declared = {remark.rule: remark.severity.split(", ") for remark in remarks_of(rule)}
    assert declared, f"{name} declares nothing; see remarks in edgeseg/lint/finding.py"
    assert all(set(severities) <= set(SEVERITIES) for severities in declared.values())
    for view in views:
        for line in LINES.values():
            for finding in rule(view, line):
                assert finding.severity in declared.get(finding.rule, ()), finding
                assert all((finding.message, finding.cure))


def test_two_rules_do_not_share_a_finding() -> None:
    names = [r.rule for name in LINT_RULES for r in remarks_of(LINT_RULES.load(name))]
    assert len(names) == len(set(names))
