"""`edgeseg lint`: what would stop or slow a graph in each TensorRT line, before any board."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import onnx

from edgeseg.core.graph.view import GraphView, attributes, node_name
from edgeseg.core.suggest import unknown
from edgeseg.errors import ExportError, UsageError
from edgeseg.lint.channel_blocks import ADVICE, INT8_CHANNELS, up
from edgeseg.lint.engine_prediction import Layer, plan_engine
from edgeseg.lint.finding import SEVERITIES, Finding, Remark, remarks_of
from edgeseg.lint.rules import LINT_RULES
from edgeseg.lint.rules.fusion import is_head
from edgeseg.lint.tensorrt_versions import LINES, Line

# What is found without a rule: by the reader of the graph, and in the predicted layers.
VALID = Remark("valid-onnx", "error", "shapes or types do not fit each other")
CHANNELS = Remark(
    "channels",
    "info",
    "INT8 tensor cores take channels in blocks of 32 (#1310); less than three quarters of them do "
    "useful work",
)
# Below this share of useful work a convolution is worth a remark.
USEFUL = 0.75


@dataclasses.dataclass(frozen=True)
class LintResult:
    """All findings, and what the engine will probably look like.

    Attributes:
        findings: worst first; one that holds for several lines stands once.
        plans: the predicted layers of each line.
        convs: convolutions of the graph.
        convs_int8: how many of them run in INT8.
        float_islands: stretches of float layers between INT8 ones: names, precision, bytes.
        sparse_convs: convolutions whose weights qualify for 2:4 sparse kernels.
        lines: names of the TensorRT lines that were checked.
    """

    findings: tuple[Finding, ...]
    plans: Mapping[str, Sequence[Layer]]
    convs: int
    convs_int8: int
    float_islands: tuple[Mapping[str, Any], ...]
    sparse_convs: int
    lines: tuple[str, ...] = ()

    @property
    def errors(self) -> dict[str, int]:
        """Errors of each line that was checked."""
        return {
            target: sum(f.severity == "error" and target in f.targets for f in self.findings)
            for target in self.lines
        }

    @property
    def ok(self) -> bool:
        """No finding is an error."""
        return all(finding.severity != "error" for finding in self.findings)

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeseg lint --json`."""
        return {
            "ok": self.ok,
            "findings": [finding.to_json() for finding in self.findings],
            "summary": {
                "errors": self.errors,
                "convs": self.convs,
                "convs_int8": self.convs_int8,
                "float_islands": [dict(island) for island in self.float_islands],
                "sparse_convs": self.sparse_convs,
                "layers": {target: len(plan) for target, plan in self.plans.items()},
                "moved_bytes": {
                    target: sum(layer.moved_bytes for layer in plan)
                    for target, plan in self.plans.items()
                },
            },
            "engine": {
                target: [layer.to_json() for layer in plan] for target, plan in self.plans.items()
            },
        }


def lines_of(names: Sequence[str]) -> list[Line]:
    """Return the lines that `--target` names, all of them for no name.

    Raises:
        UsageError: a name is not known.
    """
    for name in names:
        if name not in LINES:
            raise UsageError(unknown("TensorRT line", name, LINES))
    return [LINES[name] for name in names or LINES]


def lint(
    model: onnx.ModelProto,
    *,
    islands: onnx.ModelProto | None = None,
    lines: Sequence[Line] = tuple(LINES.values()),
    fp16: bool = True,
) -> LintResult:
    """Check a graph against TensorRT lines.

    Args:
        model: the graph.
        islands: its form with FP16 islands, which strongly typed lines build instead.
        lines: what to check against.
        fp16: whether a builder may choose FP16 for float layers; not for an FP32 bundle's engine.
    """
    rules = [LINT_RULES.load(name) for name in LINT_RULES]
    merged: dict[Finding, list[str]] = {}
    plans: dict[str, list[Layer]] = {}
    view = None
    # The graph a line builds; the two are indexed once each.
    views: dict[bool, GraphView | Finding] = {}
    for line in lines:
        strong = line.strongly_typed and islands is not None
        if strong not in views:
            views[strong] = _view(islands if strong and islands is not None else model)
        made = views[strong]
        if isinstance(made, Finding):
            merged.setdefault(made, []).append(line.name)
            continue
        view = view or made
        for rule in rules:
            for finding in rule(made, line):
                merged.setdefault(finding, []).append(line.name)
        plans[line.name] = plan_engine(made, strongly_typed=line.strongly_typed, fp16=fp16)
        for finding in channels(made, plans[line.name]):
            merged.setdefault(finding, []).append(line.name)
    findings = [dataclasses.replace(f, targets=tuple(t)) for f, t in merged.items()]
    findings.sort(key=lambda f: SEVERITIES.index(f.severity))
    plan = next(iter(plans.values()), [])
    convs = [layer for layer in plan if layer.kind == "convolution"]
    return LintResult(
        findings=tuple(findings),
        plans=plans,
        convs=len(convs),
        convs_int8=sum(layer.precision == "INT8" for layer in convs),
        float_islands=tuple(float_islands(plan, view)) if view is not None else (),
        sparse_convs=sum(layer.sparse for layer in convs),
        lines=tuple(line.name for line in lines),
    )


def folded(findings: Sequence[Finding]) -> list[tuple[Finding, list[str]]]:
    """Return findings of one kind once, with the nodes of the others: same rule, lines and cure."""
    kinds: dict[tuple[object, ...], tuple[Finding, list[str]]] = {}
    for finding in findings:
        kind = (finding.rule, finding.severity, finding.targets, finding.cure)
        if kind in kinds:
            kinds[kind][1].append(finding.node)
        else:
            kinds[kind] = finding, []
    return list(kinds.values())


def all_remarks() -> list[Remark]:
    """Return everything that lint can find, in the order in which it looks."""
    rules = [LINT_RULES.load(name) for name in LINT_RULES]
    return [VALID, *(remark for rule in rules for remark in remarks_of(rule)), CHANNELS]


def channels(view: GraphView, plan: Sequence[Layer]) -> list[Finding]:
    """INT8 convolutions whose channels fill the tensor cores badly."""
    remarks = []
    nodes = {node_name(node): node for node in view.nodes}
    for layer in plan:
        node = nodes[layer.name]
        shape = view.shape_of(node.input[1]) if layer.kind == "convolution" else None
        if layer.precision != "INT8" or shape is None or len(shape) != 4:
            continue
        if node.op_type != "Conv" or attributes(node).get("group", 1) != 1:
            continue
        made, read = shape[:2]
        first = view.shape_of(node.input[0]) is not None and read == 3
        useful = made / up(made) * (1.0 if first else read / up(read))
        if useful < USEFUL:
            remarks.append(
                Finding(
                    CHANNELS.rule,
                    CHANNELS.severity,
                    layer.name,
                    f"{read} to {made} channels fill {useful:.0%} of INT8 tensor-core blocks of "
                    f"{INT8_CHANNELS}",
                    f"prune or widen: {ADVICE}",
                )
            )
    return remarks


def float_islands(plan: Sequence[Layer], view: GraphView) -> list[dict[str, Any]]:
    """Return the stretches of float layers behind an engine's first INT8 layer, the head too."""
    first = next((i for i, layer in enumerate(plan) if layer.precision == "INT8"), len(plan))
    nodes = {node_name(node): node for node in view.nodes}
    islands: list[list[Layer]] = [[]]
    for layer in plan[first:]:
        if layer.precision == "INT8":
            islands.append([])
        else:
            islands[-1].append(layer)
    found = []
    for island in filter(None, islands):
        head = is_head(view, nodes[island[0].name])
        found.append(
            {
                "first": island[0].name,
                "last": island[-1].nodes[-1],
                "kinds": sorted({layer.kind for layer in island}),
                "precision": max((layer.precision for layer in island), key=_width),
                "bytes": sum(layer.moved_bytes for layer in island),
                "head": head,
            }
        )
    return found


def _width(precision: str) -> int:
    # A plugin's type, BOOL or BF16 among them: what is not ranked here says least of an island.
    ranked = ("INT8", "UINT8", "INT32", "FP16", "FP32")
    return ranked.index(precision) if precision in ranked else -1


def _view(model: onnx.ModelProto) -> GraphView | Finding:
    try:
        return GraphView(model)
    except ExportError as error:
        return Finding(
            VALID.rule,
            VALID.severity,
            "",
            str(error),
            "export the network again; this file is damaged",
        )
