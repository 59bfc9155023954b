"""The engine of a bundle that `edgeseg build` found fastest on this machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.files import atomic_write_text
from edgeseg.core.text.names import component

FILE = "fastest.json"
# What of an engine's key makes a record stale: another machine, library or network.
SAME = ("tensorrt", "gpu", "sm", "board", "l4t", "plugin_sha256")


@dataclasses.dataclass(frozen=True)
class Fastest:
    """Which engine won.

    Attributes:
        precision: "int8", "fp16" or "fp32".
        edits: of its graph.
    """

    precision: str
    edits: tuple[str, ...] = ()


def keep_fastest(
    cache: Path, name: str, digest: str, key: Mapping[str, Any], winner: Fastest
) -> None:
    """Record the winner of a race.

    Args:
        cache: folder of the engines.
        name: of the bundle.
        digest: SHA-256 of its graph.
        key: the winner's.
        winner: which engine won.
    """
    record = {
        "bundle_sha256": digest,
        "key": {part: key.get(part) for part in SAME},
        "precision": winner.precision,
        "edits": list(winner.edits),
    }
    atomic_write_text(cache / component(name) / FILE, json.dumps(record, indent=1) + "\n")


def find_fastest(cache: Path, name: str, digest: str, key: Mapping[str, Any]) -> Fastest | None:
    """Return the recorded winner, None where there is none for this machine and bundle.

    Args:
        cache: folder of the engines.
        name: of the bundle.
        digest: SHA-256 of its graph.
        key: of any engine here.
    """
    try:
        record = json.loads((cache / component(name) / FILE).read_text())
        if record["bundle_sha256"] != digest or record["key"] != {p: key.get(p) for p in SAME}:
            return None
        return Fastest(str(record["precision"]), tuple(record["edits"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
