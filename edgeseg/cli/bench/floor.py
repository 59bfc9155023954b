"""The floor of a bundle on a board that is not here: computed layer by layer, never measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.cli.pages.bench_charts import stacked_bars
from edgeseg.core.packages import is_installed
from edgeseg.errors import BackendUnavailable

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.lint.roofline import Roofline

COLUMNS = ("bundle", "floor ms", "layers", "share bound by memory", "slowest layer", "its floor ms")
SLOWEST = 25


@dataclasses.dataclass(frozen=True)
class Floor:
    """One bundle's floor."""

    bundle: str
    found: Roofline

    def to_json(self) -> dict[str, Any]:
        """Return the floors for `--json`, marked as computed."""
        return {"bundle": self.bundle, **self.found.to_json()}


def floors(board: str, bundles: Sequence[Bundle]) -> list[Floor]:
    """Compute the floor of each bundle on a board.

    Raises:
        UsageError: the board is not known.
        BackendUnavailable: onnx, which reads the graph, is not installed.
    """
    from edgeseg.lint.boards import find_board

    found = find_board(board)
    if not is_installed("onnx"):
        raise BackendUnavailable(
            "--board needs onnx, not installed here; pip install 'edgeseg[host]'"
        )
    import onnx

    from edgeseg.lint.roofline import model_roofline

    return [
        Floor(
            f"{bundle.name} {bundle.precision}",
            model_roofline(onnx.load(bundle.onnx_path), found, fp16=bundle.precision != "fp32"),
        )
        for bundle in bundles
    ]


def rows(found: Sequence[Floor]) -> list[tuple[str, ...]]:
    """Return a line of COLUMNS for each bundle."""
    lines: list[tuple[str, ...]] = []
    for floor in found:
        layers = floor.found.floors
        slowest = max(layers, key=lambda layer: layer.floor_ms)
        lines.append(
            (
                floor.bundle,
                f"{floor.found.floor_ms:.2f}",
                str(len(layers)),
                f"{floor.found.memory_share:.2f}",
                slowest.layer.name,
                f"{slowest.floor_ms:.3f}",
            )
        )
    return lines


def chart(floor: Floor) -> str:
    """Draw the slowest layers: time by the memory, and what the arithmetic adds beyond it."""
    slowest = sorted(floor.found.floors, key=lambda layer: -layer.floor_ms)[:SLOWEST]
    bars = [
        (
            layer.layer.name,
            {"memory": layer.memory_ms, "compute beyond it": layer.floor_ms - layer.memory_ms},
        )
        for layer in slowest
    ]
    return stacked_bars(bars, ("memory", "compute beyond it"), "ms, computed", digits=3)
