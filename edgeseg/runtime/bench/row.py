"""A row of a bench: what runs, what was measured of it, and its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.data.dataset import Dataset
from edgeseg.core.report import BundleId, Memory, Reference, Report
from edgeseg.core.stage_times import NS_PER_MS, StageTimes
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.backends.open import option_names
from edgeseg.runtime.bench.bootstrap import (
    TimeRatio,
    percentile_intervals,
    relative_times,
    spread,
    time_ratio,
)
from edgeseg.runtime.bench.graph_cost import bundle_cost
from edgeseg.runtime.bench.result import Ratio
from edgeseg.runtime.evaluation.scoring import Scorer
from edgeseg.runtime.telemetry.power import Power


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row: a bundle on a backend.

    Attributes:
        name: unique in the table.
        bundle: what runs.
        backend: a key of BACKENDS, or any name where `opener` opens it.
        options: keyword arguments of the backend.
        opener: opens what runs instead of the backend named.
        scored: whether its labels are compared with the truth; a yardstick of other classes has
            no accuracy.
        reference: the row that the others' reports are compared with.
    """

    name: str
    bundle: Bundle
    backend: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    opener: Callable[[], Backend] | None = None
    scored: bool = True
    reference: bool = False


def bundle_entries(
    bundles: Sequence[Bundle],
    backends: Sequence[str],
    options: Callable[[str], Mapping[str, Any]],
    *,
    native_float: bool = False,
) -> list[Entry]:
    """Return a row for each bundle on each backend.

    Args:
        bundles: what runs; they are named by their paths where two have one name.
        backends: keys of BACKENDS.
        options: gives the keyword arguments that open a backend, by its name.
        native_float: add a row in which a backend that can chooses its own float arithmetic.
    """
    names = [b.name if b.precision in b.name else f"{b.name} {b.precision}" for b in bundles]
    if len(set(names)) < len(names):
        names = [str(bundle.path) for bundle in bundles]
    entries = []
    for name, bundle in zip(names, bundles, strict=True):
        for backend in backends:
            given = options(backend)
            entries.append(Entry(f"{name} {backend}", bundle, backend, given))
            if native_float and chooses_float(backend):
                native = {**given, "float_precision": "default"}
                entries.append(Entry(f"{name} {backend} native float", bundle, backend, native))
    return entries


def chooses_float(backend: str) -> bool:
    """Return whether a backend can choose the arithmetic of its float layers by itself."""
    return "float_precision" in option_names(backend)


class Row:
    """An open backend of a bench, and what was measured of it so far."""

    def __init__(
        self, entry: Entry, backend: Backend, memory: Memory | None, scorer: Scorer
    ) -> None:
        """Begin with nothing measured but the memory that opening took."""
        self.entry = entry
        self.backend = backend
        self.memory = memory
        self.scorer = scorer
        # A frame of the bundle's own, for warm-up.
        self.frame = entry.bundle.golden().frame
        self.stages = {name: StageTimes() for name in ("preprocess", "infer", "postprocess")}
        self.rounds: list[list[int]] = []
        self.power: list[Power] = []

    @property
    def rounds_ns(self) -> list[int]:
        """Nanoseconds of each round's inferences together."""
        return [sum(times) for times in self.rounds]


def row_report(row: Row, reference: Row, dataset: Dataset, machine: Mapping[str, Any]) -> Report:
    """Return one row's report, its times compared with those of `reference` in the same rounds."""
    bundle = row.entry.bundle
    series = {name: times.percentiles() for name, times in row.stages.items()}
    mean_s = sum(row.rounds_ns) / sum(map(len, row.rounds)) / 1e9
    rails: dict[str, list[float]] = {}
    for power in row.power:
        # A rail that could not be read once has the fewer readings.
        for rail, watt in power.rails_w.items():
            rails.setdefault(rail, []).append(watt)
    watts = {rail: sum(found) / len(found) for rail, found in rails.items()}
    n_images = sum(1 for times in row.rounds for _ in times)
    return Report(
        bundle=BundleId(bundle.name, bundle.digest, bundle.precision),
        machine=machine,
        source=dataset.name,
        frames=row.scorer.n or n_images,
        dropped=0,
        reconnects=0,
        # Rows take turns: a rate over the whole run would count the other rows' time.
        fps=None,
        latency_ms={name: found for name, found in series.items() if found is not None},
        memory=row.memory,
        power_w=watts or None,
        accuracy=row.scorer.accuracy(bundle.spec.class_names) if row.entry.scored else None,
        backend={"name": row.entry.backend, **row.backend.io.to_json()},
        run={
            "name": row.entry.name,
            "rounds": len(row.rounds),
            "inferences": n_images,
            "bytes": bundle.size_bytes,
            "fps_of_infer": 1 / mean_s if mean_s else None,
            "spread": spread(row.rounds_ns),
        },
        cost=bundle_cost(bundle),
        intervals=_intervals(row, reference),
        reference=None if row is reference else _compared(row, reference),
        energy=_energy(row.power, mean_s),
    )


def _energy(readings: Sequence[Power], mean_s: float) -> dict[str, Any] | None:
    if not readings:
        return None
    mean_w = sum(power.total_w for power in readings) / len(readings)
    method = f"mean power at the end of the row's turns times its time; {readings[0].method}"
    return {"joules_per_frame": mean_w * mean_s, "mean_w": mean_w, "method": method}


def _compared(row: Row, reference: Row) -> Reference | None:
    found = time_ratio(row.rounds_ns, reference.rounds_ns)
    if not found.known:
        return None
    io = reference.backend.io
    single = np.concatenate(relative_times(row.rounds, reference.rounds))
    p90, p99 = np.percentile(single, (90, 99))
    return Reference(
        reference.entry.name,
        reference.entry.bundle.digest,
        io.runtime,
        io.precision,
        found.value,
        found.low,
        found.high,
        float(p90),
        float(p99),
    )


def _intervals(row: Row, reference: Row) -> dict[str, tuple[float, float]]:
    found = {
        f"infer_{name}_ms": (low / NS_PER_MS, high / NS_PER_MS)
        for name, (low, high) in percentile_intervals(row.rounds).items()
    }
    if row is not reference:
        relative = percentile_intervals(relative_times(row.rounds, reference.rounds))
        found |= {f"time_ratio_{name}": relative[name] for name in ("p90", "p99") if relative}
    return found


def row_ratio(a: Row, b: Row, report_a: Report, report_b: Report) -> Ratio:
    """Return how two rows compare in time and mIoU."""
    found: TimeRatio = time_ratio(a.rounds_ns, b.rounds_ns)
    one, other = report_a.accuracy, report_b.accuracy
    return Ratio(
        a.entry.name,
        b.entry.name,
        found.value,
        other.miou - one.miou if one is not None and other is not None else None,
        found.low if found.known else None,
        found.high if found.known else None,
        found.verdict(a.entry.name, b.entry.name),
    )
