"""The result of a bench: rows, ratios with intervals, the Pareto set, every single time."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.metrics.front import unbeaten
from edgeseg.core.report import Report


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Two rows compared inside one run.

    Attributes:
        a: name of a row.
        b: name of a later row.
        latency_ratio: median over the rounds of a's time over b's; above 1, b is faster.
        miou_difference: b's mIoU less a's, None where one has none.
        low: lower end of latency_ratio's 95 % interval; None where the rounds were too few.
        high: upper end.
        verdict: which is faster, or "no difference" where the interval holds 1.
    """

    a: str
    b: str
    latency_ratio: float
    miou_difference: float | None
    low: float | None = None
    high: float | None = None
    verdict: str = ""


@dataclasses.dataclass(frozen=True)
class Shown:
    """One image with every scored row's labels, at the image's own size."""

    name: str
    rgb: UInt8[np.ndarray, "h w 3"]
    truth: UInt8[np.ndarray, "h w"]
    labels: dict[str, UInt8[np.ndarray, "h w"]]


@dataclasses.dataclass(frozen=True)
class BenchResult:
    """The table.

    Attributes:
        machine: where it ran.
        rows: one report per entry, its name in `run["name"]`.
        ratios: every pair of rows.
        pareto: names of the scored rows that no other row beats in both mIoU and time.
        reference: name of the row that the reports' `reference` is about.
        conditions: threads, load, clocks, throttling, and what makes absolute times doubtful.
        times_ns: by row, the single times of each round.
        shown: the images kept for pictures.
    """

    machine: Mapping[str, Any]
    rows: tuple[Report, ...]
    ratios: tuple[Ratio, ...]
    pareto: tuple[str, ...]
    reference: str = ""
    conditions: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    times_ns: Mapping[str, Sequence[Sequence[int]]] = dataclasses.field(default_factory=dict)
    shown: tuple[Shown, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeseg bench --json`."""
        return {
            "machine": dict(self.machine),
            "rows": [row.to_json() for row in self.rows],
            "ratios": [dataclasses.asdict(ratio) for ratio in self.ratios],
            "pareto": list(self.pareto),
            "reference": self.reference,
            "conditions": dict(self.conditions),
        }


def pareto(reports: Sequence[Report], ratios: Sequence[Ratio]) -> tuple[str, ...]:
    """Return the names of scored rows that no other row beats.

    One row beats another when it is better in mIoU or time and worse in neither. Times count as
    equal where their ratio's interval holds 1: noise takes no row off the front.
    """
    log_ratio = {}
    for r in ratios:
        unclear = r.low is not None and r.high is not None and r.low <= 1.0 <= r.high
        value = 0.0 if unclear else math.log(r.latency_ratio)
        log_ratio[r.a, r.b], log_ratio[r.b, r.a] = value, -value

    scored = [
        (str(row.run["name"]), row.accuracy.miou) for row in reports if row.accuracy is not None
    ]

    def gains(one: tuple[str, float], other: tuple[str, float]) -> tuple[float, ...]:
        return log_ratio[other[0], one[0]], one[1] - other[1]

    return tuple(scored[index][0] for index in unbeaten(scored, gains))


def times_csv(result: BenchResult) -> Iterator[tuple[str, int, int, int]]:
    """Yield (row, round, place in the round, nanoseconds) of every inference."""
    for name, rounds in result.times_ns.items():
        for number, times in enumerate(rounds):
            for place, took in enumerate(times):
                yield name, number, place, took
