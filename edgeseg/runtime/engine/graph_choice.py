"""Chooses the graph of a bundle that an engine is built from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeseg.core.bundle import Bundle
from edgeseg.core.spec import PRECISIONS
from edgeseg.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Graph:
    """Which file of a bundle is built, and how.

    Attributes:
        path: the ONNX file.
        digest: its SHA-256.
        precision: of the engine.
        unquantized: take the Q/DQ nodes out first.
        halved: type its float parts FP16 first.
    """

    path: Path
    digest: str
    precision: str
    unquantized: bool
    halved: bool = False


def graph_of(bundle: Bundle, precision: str, *, strongly_typed: bool) -> Graph:
    """Choose the bundle's file for a precision.

    Weakly typed builders take model.onnx and choose FP16 themselves. Strongly typed ones compute
    in the graph's own types, so INT8 and FP16 take the form with FP16 islands: the bundle's own,
    which the exporter has run, or one made from model.onnx here.

    Raises:
        UsageError: unknown precision, or one that the bundle cannot give.
    """
    if precision not in PRECISIONS:
        raise UsageError(
            f"engine precision {precision!r} is none of {', '.join(PRECISIONS)}; give one of them"
        )
    if precision == "int8" and bundle.precision != "int8":
        raise UsageError(
            f"{bundle.name} is a {bundle.precision} bundle without INT8 ranges; "
            "export it with --int8"
        )
    if bundle.precision == "fp16" and precision == "fp32":
        raise UsageError(f"{bundle.name} holds FP16 weights; export it with --fp32")
    unquantized = bundle.precision == "int8" and precision != "int8"
    model = Graph(bundle.onnx_path, bundle.digest, precision, unquantized)
    if not strongly_typed or precision == "fp32" or bundle.precision == "fp16":
        return model
    if bundle.islands_path is not None and bundle.islands_digest is not None:
        return dataclasses.replace(model, path=bundle.islands_path, digest=bundle.islands_digest)
    return dataclasses.replace(model, halved=True)


def note_of(graph: Graph, name: str, not_halved: str) -> str:
    """Say what a reader of an engine's figures must know of its graph, empty for nothing."""
    if not graph.halved:
        return ""
    if not_halved:
        return f"float layers run in FP32: {not_halved}"
    wanted = "int8" if graph.unquantized else graph.precision
    return (
        "the FP16 form was made here from model.onnx; `edgeseg export "
        f"{name} --{wanted}` makes a bundle that carries one, run on the golden frame"
    )
