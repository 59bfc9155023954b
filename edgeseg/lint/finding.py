"""One remark of `edgeseg lint`, and the shape of the rules that make them."""

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


Rule = Callable[[GraphView, Line], Iterable[Finding]]


def found(
    rule: str, severity: str, node: onnx.NodeProto | None, message: str, cure: str
) -> Finding:
    """Return a finding about a node, or about the graph."""
    return Finding(rule, severity, "" if node is None else node_name(node), message, cure)
