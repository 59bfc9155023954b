"""Budget: limits that a report is judged against, read from a TOML file."""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.errors import UsageError


@dataclasses.dataclass(frozen=True)
class Budget:
    """Limits a report is judged against; None means no limit.

    Attributes:
        min_miou: smallest mIoU, 0-1.
        min_fps: smallest rate.
        min_class_iou: smallest intersection over union by class name, 0-1.
        max_infer_p50_ms: largest median of the network alone.
        max_infer_p90_ms: largest 90th percentile of the network alone.
        max_infer_p99_ms: largest 99th percentile of the network alone.
        max_time_ratio: largest time as a multiple of the in-run reference's.
        max_end_to_end_p99_ms: largest 99th percentile of the whole way.
        max_frame_age_p90_ms: largest 90th percentile of the age of a live frame.
        max_peak_bytes: largest peak memory.
        max_dropped_ratio: largest share of captured frames that were dropped, 0-1.
        max_joules_per_frame: most energy of one frame.
        max_bundle_bytes: largest size of the bundle's files.
    """

    min_miou: float | None = None
    min_fps: float | None = None
    min_class_iou: Mapping[str, float] | None = None
    max_infer_p50_ms: float | None = None
    max_infer_p90_ms: float | None = None
    max_infer_p99_ms: float | None = None
    max_time_ratio: float | None = None
    max_end_to_end_p99_ms: float | None = None
    max_frame_age_p90_ms: float | None = None
    max_peak_bytes: int | None = None
    max_dropped_ratio: float | None = None
    max_joules_per_frame: float | None = None
    max_bundle_bytes: int | None = None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Budget:
        """Check a parsed TOML or JSON table and build the budget.

        Raises:
            UsageError: every unknown key and every value that is no number, in one message.
        """
        names = [field.name for field in dataclasses.fields(cls)]
        problems = [f"unknown key {key!r}" for key in document if key not in names]
        kinds: dict[str, Any] = {}
        for key, value in document.items():
            if key == "min_class_iou" and isinstance(value, Mapping):
                problems += [
                    f"{key}.{name} is {limit!r}, expected a number"
                    for name, limit in value.items()
                    if not _is_number(limit)
                ]
                kinds[key] = dict(value)
            elif key == "min_class_iou":
                problems.append(f"{key} is {value!r}, expected a table of class = number")
            elif key in names and not _is_number(value):
                problems.append(f"{key} is {value!r}, expected a number")
            elif key in names:
                kinds[key] = int(value) if key.endswith("_bytes") else float(value)
        if problems:
            raise UsageError(f"budget: {'; '.join(problems)}; known keys: {', '.join(names)}")
        return cls(**kinds)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def read_budget(path: Path) -> Budget:
    """Read the `[budget]` table of a TOML file.

    Raises:
        UsageError: no such file, no TOML, no such table, or a key or value that is none.
    """
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        document = tomllib.loads(path.read_text())
    except FileNotFoundError:
        raise UsageError(f"{path} does not exist; give a TOML file with a [budget] table") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not readable TOML ({error})") from error
    table = document.get("budget")
    if not isinstance(table, dict):
        raise UsageError(f"{path} has no [budget] table; its tables: {', '.join(document)}")
    return Budget.from_document(table)
