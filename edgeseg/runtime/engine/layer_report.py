"""Reads each layer's arithmetic from TensorRT's engine inspector."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

# In the order of the table; the first that is found in a format's text names its type. TensorRT 8
# and early 10 write "Row major linear FP32", later ones "Half" or "Float".
TYPES = (
    ("INT8", r"\bU?INT8\b"),
    ("BF16", r"\bBF16\b|BFLOAT16"),
    ("FP8", r"\bFP8\b"),
    ("FP16", r"\bFP16\b|\bHALF\b|FLOAT16"),
    ("FP32", r"\bFP32\b|\bFLOAT\b|FLOAT32"),
    ("INT64", r"\bINT64\b"),
    ("INT32", r"\bINT32\b"),
    ("BOOL", r"\bBOOL\b"),
)
BYTES = {"INT8": 1, "UINT8": 1, "FP8": 1, "BOOL": 1, "FP16": 2, "BF16": 2, "FP32": 4, "INT32": 4,
         "INT64": 8}  # fmt: skip
SHORT = {"INT8": "int8", "FP16": "f16", "BF16": "bf16", "FP8": "f8", "FP32": "f32"}
UNKNOWN = "?"


@dataclasses.dataclass(frozen=True)
class Layer:
    """One layer of an engine.

    Attributes:
        name: the fused ONNX nodes, as TensorRT joins them.
        kind: TensorRT's layer type, e.g. "CaskConvolution" or "Reformat".
        precision: type of its arithmetic: of the weights, else of the first input.
        inputs: type of each input.
        outputs: type of each output.
        bytes_moved: bytes of inputs and outputs.
        tactic: name of the kernel, empty where TensorRT gives none.
    """

    name: str
    kind: str
    precision: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    bytes_moved: int
    tactic: str = ""

    @property
    def is_reformat(self) -> bool:
        """Whether it only changes type or layout, which is time without arithmetic."""
        return self.kind == "Reformat" or self.name.startswith("Reformatting CopyNode")


@dataclasses.dataclass(frozen=True)
class LayerReport:
    """The layers of one engine, in the order they run; empty where TensorRT gave no details."""

    layers: tuple[Layer, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Layers by precision, reformats not counted."""
        return dict(Counter(layer.precision for layer in self.layers if not layer.is_reformat))

    @property
    def reformats(self) -> tuple[Layer, ...]:
        """The layers that only change type or layout."""
        return tuple(layer for layer in self.layers if layer.is_reformat)

    @property
    def precision(self) -> str:
        """The arithmetic that runs, e.g. "int8+f16", for BackendIo."""
        return "+".join(self.kernels) or "unknown"

    @property
    def kernels(self) -> dict[str, int]:
        """Layers of arithmetic by its short name, e.g. {"int8": 60, "f16": 2}, for BackendIo."""
        found = self.counts
        return {short: found[name] for name, short in SHORT.items() if name in found}

    def to_json(self) -> list[dict[str, Any]]:
        """Return plain JSON values."""
        return [dataclasses.asdict(layer) for layer in self.layers]

    @classmethod
    def from_json(cls, document: Sequence[Mapping[str, Any]]) -> LayerReport:
        """Read to_json's value back."""
        return cls(
            tuple(
                Layer(**{**row, "inputs": tuple(row["inputs"]), "outputs": tuple(row["outputs"])})
                for row in document
            )
        )


def layers_from_inspector(text: str) -> LayerReport:
    """Read the JSON of IEngineInspector.get_engine_information.

    An engine built without detailed verbosity lists names only; such layers are left out, as they
    say nothing about types.
    """
    try:
        document = json.loads(text)
    except (RecursionError, ValueError):
        return LayerReport(())
    rows = document.get("Layers") if isinstance(document, dict) else None
    rows = rows if isinstance(rows, list) else []
    return LayerReport(tuple(_layer(row) for row in rows if isinstance(row, dict)))


def _layer(row: Mapping[str, Any]) -> Layer:
    inputs, outputs = _tensors(row.get("Inputs")), _tensors(row.get("Outputs"))
    weights = row.get("Weights")
    given = _type(str(weights.get("Type", ""))) if isinstance(weights, dict) else UNKNOWN
    types = [kind for kind, _ in inputs] or [kind for kind, _ in outputs] or [UNKNOWN]
    # A convolution with INT8 input may keep its bias in float; its weights decide. Constants that
    # TensorRT lists as weights of other layers carry types of their own only with inputs.
    precision = given if given != UNKNOWN and inputs else types[0]
    return Layer(
        name=str(row.get("Name", "")),
        kind=str(row.get("LayerType", UNKNOWN)),
        precision=precision,
        inputs=tuple(kind for kind, _ in inputs),
        outputs=tuple(kind for kind, _ in outputs),
        bytes_moved=sum(size for _, size in (*inputs, *outputs)),
        tactic=str(row.get("TacticName", "")),
    )


def _tensors(rows: object) -> list[tuple[str, int]]:
    found = []
    for row in rows if isinstance(rows, list) else ():
        if not isinstance(row, dict):
            continue
        # TensorRT 10 writes "Datatype" beside "Format" in some releases.
        text = str(row.get("Format/Datatype") or row.get("Datatype") or row.get("Format") or "")
        kind = _type(text)
        sides = row.get("Dimensions")
        shape = [d for d in sides if isinstance(d, int)] if isinstance(sides, list) else []
        found.append((kind, math.prod(shape) * BYTES.get(kind, 0)))
    return found


def _type(text: str) -> str:
    upper = text.upper()
    if "UINT8" in upper:
        return "UINT8"
    return next((name for name, pattern in TYPES if re.search(pattern, upper)), UNKNOWN)
