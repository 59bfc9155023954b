"""The least time a predicted engine layer can take on a board: computed, never a measurement.

A layer has to move its bytes and do its operations; whichever takes longer at the board's peak is
its floor (Williams, Waterman and Patterson, "Roofline", CACM 52(4), 2009). Real layers take longer:
kernels reach a part of the peaks, launches cost microseconds, and channels that do not fill a block
of the tensor cores are computed all the same.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import onnx

from edgeseg.core.graph.view import GraphView
from edgeseg.lint.boards import Board
from edgeseg.lint.engine_prediction import Layer, plan_engine

NOTE = "computed from the board's peak figures; a floor, never a measurement"
OPERATIONS_PER_MAC = 2
# Layers whose time their bytes do not tell: selection runs in several passes, as users report of
# TopK (onnx-tensorrt #669, #671: 3 to 1354 ms for one argmax).
SELECTIONS = frozenset({"argmax", "argmin", "topk"})


@dataclasses.dataclass(frozen=True)
class LayerFloor:
    """One layer's floor.

    Attributes:
        layer: the predicted layer.
        memory_ms: time to move its bytes at the board's bandwidth.
        compute_ms: time for its operations at the board's rate for its precision.
    """

    layer: Layer
    memory_ms: float
    compute_ms: float

    @property
    def floor_ms(self) -> float:
        """The longer of the two."""
        return max(self.memory_ms, self.compute_ms)

    @property
    def bound(self) -> str:
        """What the floor comes from: "memory", "compute", or "unknown" for a selection."""
        if self.layer.kind in SELECTIONS:
            return "unknown"
        return "compute" if self.compute_ms > self.memory_ms else "memory"


@dataclasses.dataclass(frozen=True)
class Roofline:
    """The floors of a whole engine on one board."""

    board: Board
    floors: tuple[LayerFloor, ...]

    @property
    def floor_ms(self) -> float:
        """Sum over the layers, which run one after another."""
        return sum(floor.floor_ms for floor in self.floors)

    @property
    def selections(self) -> list[str]:
        """Layers whose real time may be many times their floor."""
        return [floor.layer.name for floor in self.floors if floor.bound == "unknown"]

    @property
    def unknown(self) -> int:
        """Layers with a tensor of unknown size, whose floor is too low."""
        return sum(bool(floor.layer.unknown) for floor in self.floors)

    @property
    def memory_share(self) -> float:
        """Share of the total, 0-1, of layers that the memory bounds."""
        memory = sum(floor.floor_ms for floor in self.floors if floor.bound == "memory")
        return memory / self.floor_ms if self.floor_ms else 0.0

    def to_json(self) -> dict[str, Any]:
        """Return the floors for `--json`."""
        return {
            "board": self.board.name,
            "note": NOTE,
            "source": self.board.source,
            "floor_ms": self.floor_ms,
            "memory_share": self.memory_share,
            "unknown_layers": self.unknown,
            "selections": self.selections,
            "layers": [
                {
                    "name": floor.layer.name,
                    "kind": floor.layer.kind,
                    "precision": floor.layer.precision,
                    "bytes": floor.layer.moved_bytes,
                    "macs": floor.layer.macs,
                    "floor_ms": floor.floor_ms,
                    "bound": floor.bound,
                }
                for floor in self.floors
            ],
        }


def roofline(plan: Sequence[Layer], board: Board) -> Roofline:
    """Return the floors of predicted layers on a board.

    Args:
        plan: what plan_engine predicted.
        board: whose peaks count.
    """
    rates = {
        "INT8": board.int8_tops,
        "FP16": board.fp16_tflops,
        "FP32": board.fp32_tflops,
    }
    floors = []
    for layer in plan:
        # Only tensor cores double on 2:4 weights.
        twice = 2 if layer.sparse and board.sparse and layer.precision != "FP32" else 1
        rate = rates.get(layer.precision, board.fp32_tflops) * 1e12 * twice
        floors.append(
            LayerFloor(
                layer,
                memory_ms=layer.moved_bytes / (board.bandwidth_gb_s * 1e9) * 1e3,
                compute_ms=layer.macs * OPERATIONS_PER_MAC / rate * 1e3,
            )
        )
    return Roofline(board, tuple(floors))


def model_roofline(
    model: onnx.ModelProto, board: Board, *, strongly_typed: bool = False, fp16: bool = True
) -> Roofline:
    """Return the floors of a graph on a board; see plan_engine for the arguments."""
    view = GraphView(model)
    return roofline(plan_engine(view, strongly_typed=strongly_typed, fp16=fp16), board)


def table_rows(result: Roofline, count: int = 0) -> list[tuple[str, ...]]:
    """Return rows for a table, the slowest layers first, all of them for a count of 0.

    Columns: layer, kind, precision, bytes, MACs, floor in ms, bound by.
    """
    slowest = sorted(result.floors, key=lambda floor: -floor.floor_ms)
    return [
        (
            floor.layer.name,
            floor.layer.kind,
            floor.layer.precision,
            f"{floor.layer.moved_bytes / 1e6:.2f} MB",
            f"{floor.layer.macs / 1e6:.1f} M" if floor.layer.macs else "-",
            f"{floor.floor_ms:.3f}",
            floor.bound,
        )
        for floor in slowest[: count or None]
    ]
