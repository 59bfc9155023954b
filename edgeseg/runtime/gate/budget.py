"""Budget: limits that a report is judged against, read from a TOML file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.files.bounded import read_toml
from edgeseg.errors import UsageError

SHARES = ("min_miou", "max_dropped_ratio")
# Limits above it limit nothing: it is more than any time in ms, bytes or rate.
MOST = 1e18


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
        strict: whether the whole 95 % interval of a time must lie within its limit; otherwise the
            time itself must. Noise then makes a budget harder to keep, never easier.
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
    strict: bool = False

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
                wrong = [_wrong(f"{key}.{name}", limit, 1.0) for name, limit in value.items()]
                problems += wrong or [f"{key} names no class"]
                if not any(wrong):
                    kinds[key] = {name: float(limit) for name, limit in value.items()}
            elif key == "min_class_iou":
                problems.append(f"{key} is {value!r}, expected a table of class = number")
            elif key == "strict":
                problems += (
                    [] if isinstance(value, bool) else [f"{key} is {value!r}, expected true"]
                )
                kinds[key] = value
            elif key in names:
                problem = _wrong(key, value, 1.0 if key in SHARES else math.inf)
                problems.append(problem)
                if not problem:
                    kinds[key] = int(value) if key.endswith("_bytes") else float(value)
        if not set(kinds) - {"strict"} and not any(problems):
            problems.append("it sets no limit")
        if problems := [problem for problem in problems if problem]:
            raise UsageError(f"budget: {'; '.join(problems)}; known keys: {', '.join(names)}")
        return cls(**kinds)


def _wrong(name: str, value: object, most: float) -> str:
    """Return what is wrong with a limit, "" where nothing is."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return f"{name} is {value!r}, expected a number"
    # A limit below what any run can give is kept by none, one below 0 by all.
    if not 0 <= value <= min(most, MOST):
        end = "" if most == math.inf else f" and at most {most:g}"
        return f"{name} is {value!r}, expected a number of at least 0{end}"
    return ""


def read_budget(path: Path) -> Budget:
    """Read the `[budget]` table of a TOML file.

    Raises:
        UsageError: no such file, no TOML, no such table, or a key or value that is none.
    """
    advice = "give a TOML file with a [budget] table"
    if not path.exists():
        raise UsageError(f"{path} does not exist; {advice}")
    document = read_toml(path, UsageError, advice=advice)
    stray = [key for key, value in document.items() if not isinstance(value, dict)]
    if stray:
        raise UsageError(
            f"{path} has {', '.join(map(repr, stray))} outside any table; put limits below [budget]"
        )
    table = document.get("budget")
    if not isinstance(table, dict):
        raise UsageError(f"{path} has no [budget] table; its tables: {', '.join(document)}")
    return Budget.from_document(table)
