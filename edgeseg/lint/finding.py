"""A finding of `edgeseg lint`, and the shape of the rules that make findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import onnx

from edgeseg.core.graph.view import GraphView, node_name
from edgeseg.lint.tensorrt_versions import Line

SEVERITIES = ("error", "warning", "info")


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one node does wrong, or could do better.

    Attributes:
        rule: the rule's name, stable.
        severity: "error" stops the build or changes results, "warning" costs time, "info" is good
            to know.
        node: the ONNX node, empty for the graph as a whole.
        message: what is there and why it matters.
        cure: what to do.
        targets: the TensorRT lines it holds for.
    """

    rule: str
    severity: str
    node: str
    message: str
    cure: str
    targets: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return the finding for `lint --json`."""
        return {**dataclasses.asdict(self), "targets": list(self.targets)}


@dataclasses.dataclass(frozen=True)
class Remark:
    """What a rule may find, for documents.

    Attributes:
        rule: the name in its findings.
        severity: of its findings; "error, warning" where a finding may be either.
        why: why it matters, in a sentence.
    """

    rule: str
    severity: str
    why: str


Rule = Callable[[GraphView, Line], Iterable[Finding]]


def remarks(*each: Remark) -> Callable[[Rule], Rule]:
    """Declare what a rule's findings are called, how severe they are, and why they matter."""

    def declare(rule: Rule) -> Rule:
        rule.remarks = each  # type: ignore[attr-defined] # a function has no such field by type
        return rule

    return declare


def remarks_of(rule: Rule) -> tuple[Remark, ...]:
    """Return what a rule declares; nothing where it declares nothing."""
    declared: tuple[Remark, ...] = getattr(rule, "remarks", ())
    return declared


def found(
    rule: str, severity: str, node: onnx.NodeProto | None, message: str, cure: str
) -> Finding:
    """Return a finding about a node, or about the graph."""
    return Finding(rule, severity, "" if node is None else node_name(node), message, cure)
