"""Recipes: the ordered steps planned for a model, and the record of a step that was done."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from edgeseg.core.suggest import unknown
from edgeseg.errors import RecipeError

# What may follow what. Pruning after quantization would prune fake-quantized wrappers, and a
# network is folded once, right before its fake-quantizers go in.
MAY_FOLLOW: dict[str | None, tuple[str, ...]] = {
    None: ("train",),
    "import": ("prune", "finetune", "quantize", "balance"),
    "train": ("prune", "finetune", "quantize", "balance"),
    "prune": ("prune", "finetune", "quantize", "balance"),
    "finetune": ("prune", "finetune", "quantize", "balance"),
    "quantize": ("qat",),
    "qat": ("qat", "balance"),
}
# These steps change a bias alone, so what may follow depends on the step before them.
TRANSPARENT = "balance"
# Reasons for orders that are refused, where the names alone do not tell.
REASONS = {
    "prune": "pruning goes before quantization, whose ranges and folded weights belong to the "
    "channels the network then has",
    "finetune": "after quantization a network is trained with its rounding, by qat",
}
KINDS = ("train", "prune", "finetune", "quantize", "qat", "balance")
# What a checkpoint may begin with instead of a training; no recipe plans it.
IMPORT = "import"
DONE_KINDS = (IMPORT, *KINDS)


@dataclasses.dataclass(frozen=True)
class StepDone:
    """One step that was carried out, with what is needed to rebuild its module.

    Attributes:
        kind: one of DONE_KINDS.
        options: the options the step ran with, JSON values.
        metadata: what it decided (kept channels, quantizer groups), JSON values.
    """

    kind: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "kind": self.kind,
            "options": dict(self.options),
            "metadata": dict(self.metadata),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StepDone:
        """Build a step from to_json's document."""
        return cls(document["kind"], document.get("options", {}), document.get("metadata", {}))


@dataclasses.dataclass(frozen=True)
class Step:
    """One planned step: its kind and options."""

    kind: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """An architecture and the ordered steps that turn it into a deployable model.

    Attributes:
        arch: the architecture's name.
        steps: what is done, in order.
        start: name or path of the float checkpoint that the first step goes on from; None where
            the first step trains from nothing.
    """

    arch: str
    steps: tuple[Step, ...]
    start: str | None = None

    @classmethod
    def from_document(
        cls, document: Mapping[str, Any], keys: Mapping[str, Collection[str]] | None = None
    ) -> Recipe:
        """Check a parsed TOML document and build the recipe.

        Args:
            document: `arch = "…"`, `start = "…"` where there is a checkpoint to go on from, and a
                list `step` of tables, each with `kind` and its options.
            keys: names of the options that a step may have, by kind; None checks no names.

        Raises:
            RecipeError: every unknown key, unknown kind and illegal order, in one message.
        """
        problems = [
            f"unknown key {key!r} at the top level"
            for key in document
            if key not in ("arch", "start", "step")
        ]
        arch = document.get("arch")
        if not isinstance(arch, str) or not arch:
            problems.append("arch is missing")
        start = document.get("start")
        if start is not None and (not isinstance(start, str) or not start):
            problems.append("start is no name of a checkpoint")
        tables = document.get("step")
        if not isinstance(tables, Sequence) or isinstance(tables, str) or not tables:
            problems.append("no [[step]] is given")
            tables = ()
        steps = []
        for number, table in enumerate(tables, start=1):
            kind = table.get("kind") if isinstance(table, Mapping) else None
            if kind not in KINDS:
                problems.append(f"step {number}: kind {kind!r} is not one of {', '.join(KINDS)}")
                continue
            options = {key: value for key, value in table.items() if key != "kind"}
            problems += [
                f"step {number} ({kind}): {unknown('key', key, keys[kind])}"
                for key in options
                if keys is not None and key not in keys[kind]
            ]
            steps.append(Step(kind, options))
        kinds = [step.kind for step in steps]
        problems += order_problems(kinds, previous="finetune" if start else None)
        if problems:
            raise RecipeError("recipe: " + "; ".join(problems))
        return cls(str(arch), tuple(steps), start)


def order_problems(kinds: Sequence[str], *, previous: str | None = None) -> list[str]:
    """Return one message per pair of neighbouring steps that cannot stand in this order.

    Args:
        kinds: of the steps.
        previous: kind of the step before the first; None where nothing was done before.
    """
    problems = []
    for kind in kinds:
        if kind == IMPORT and previous is None:
            previous = kind
            continue
        allowed = MAY_FOLLOW[previous]
        if kind not in allowed:
            place = f"after {previous}" if previous else "first"
            message = f"{kind} cannot stand {place}; allowed there: {', '.join(allowed)}"
            if previous in ("quantize", "qat") and kind in REASONS:
                message += f" ({REASONS[kind]})"
            problems.append(message)
        if kind != TRANSPARENT:
            previous = kind
    return problems
