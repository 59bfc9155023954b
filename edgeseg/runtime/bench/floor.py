"""Computes the floor of a bundle on a board that is not here, layer by layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.packages import is_installed
from edgeseg.errors import BackendUnavailable
from edgeseg.lint.boards import find_board

if TYPE_CHECKING:
    from edgeseg.lint.roofline import Roofline


@dataclasses.dataclass(frozen=True)
class Floor:
    """One bundle's floor."""

    bundle: str
    found: Roofline

    def to_json(self) -> dict[str, Any]:
        """Return the floors for `--json`, marked as computed."""
        return {"bundle": self.bundle, **self.found.to_json()}


def bundle_floors(board: str, bundles: Sequence[Bundle]) -> list[Floor]:
    """Compute the floor of each bundle on a board.

    Raises:
        UsageError: the board is not known.
        BackendUnavailable: onnx, which reads the graph, is not installed.
    """
    found = find_board(board)
    if not is_installed("onnx"):
        raise BackendUnavailable(
            "--board needs onnx, not installed here; pip install 'edgeseg[host]'"
        )
    from edgeseg.core.graph.load import bundle_graph
    from edgeseg.lint.roofline import model_roofline

    return [
        Floor(
            f"{bundle.name} {bundle.precision}",
            model_roofline(bundle_graph(bundle), found, fp16=bundle.precision != "fp32"),
        )
        for bundle in bundles
    ]
