"""The table and the chart of bundles' floors on a board, computed and never measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edgeseg.cli.pages.bench_charts import stacked_bars

if TYPE_CHECKING:
    from edgeseg.runtime.bench.floor import Floor

COLUMNS = ("bundle", "floor ms", "layers", "share bound by memory", "slowest layer", "its floor ms")
SLOWEST = 25


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
