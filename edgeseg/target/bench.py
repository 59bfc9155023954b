"""Bundles and backends side by side: accuracy, latency and memory from the same frames."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import itertools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from edgeseg.core.bundle import Bundle
from edgeseg.core.dataset import Dataset, Sample
from edgeseg.core.image import fit_rgb
from edgeseg.core.report import (
    NS_PER_MS,
    Accuracy,
    BundleId,
    Memory,
    Reference,
    Report,
    StageTimes,
)
from edgeseg.errors import DataError, UsageError
from edgeseg.target.backends import open_backend
from edgeseg.target.backends.base import Backend
from edgeseg.target.benchresult import BenchResult, Ratio, Shown, pareto
from edgeseg.target.bootstrap import (
    TimeRatio,
    percentile_intervals,
    relative_times,
    spread,
    time_ratio,
)
from edgeseg.target.conditions import Conditions, conditions, conditions_json, pinned
from edgeseg.target.graphcost import bundle_cost
from edgeseg.target.scoring import Scorer
from edgeseg.target.telemetry import ROOT, fingerprint, pss_bytes
from edgeseg.target.telemetry.power import Power, PowerSensors
from edgeseg.target.telemetry.thermal import Throttle, ThrottleWatch

MEMORY = "growth of the process's PSS while the backend was opened and ran once"


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


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """How a bench runs.

    Attributes:
        block: images that every row takes before the next row's turn; one block is one round.
        rounds: go over the images again until there were so many rounds; accuracy counts each
            image once.
        repeat: times each image is timed in its block; accuracy counts it once.
        warmup: turns of each row before anything is timed.
        boundary: measure BF too.
        show: images whose labels are kept for pictures, spread evenly.
        clock: nanoseconds that only go forward.
        root: the file system's root, another one in tests.
    """

    block: int = 4
    rounds: int = 1
    repeat: int = 1
    warmup: int = 3
    boundary: bool = False
    show: int = 0
    clock: Callable[[], int] = time.perf_counter_ns
    root: Path = ROOT

    def turns(self, n_images: int) -> list[list[int]]:
        """Return the images of each round; the first len are the images once, in order."""
        # Few images are dealt out thinly, so that a small data set still gives enough rounds.
        block = max(1, min(self.block, math.ceil(n_images / self.rounds)))
        once = [
            list(range(start, min(start + block, n_images))) for start in range(0, n_images, block)
        ]
        return list(itertools.islice(itertools.cycle(once), max(self.rounds, len(once))))


class _Row:
    def __init__(
        self, entry: Entry, backend: Backend, memory: Memory | None, scorer: Scorer
    ) -> None:
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
        return [sum(times) for times in self.rounds]


def bench(
    entries: Sequence[Entry],
    dataset: Dataset,
    options: BenchOptions = BenchOptions(),
    *,
    threads: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> BenchResult:
    """Run every entry over the labelled images, interleaved.

    The rows take turns block by block and every other round in reverse order, so that a noisy
    neighbour or a hot machine falls on all of them; only their ratios are worth quoting.

    Args:
        entries: the rows, with unique names.
        dataset: labelled images of the bundles' classes.
        options: how to run.
        threads: what the entries were given; the process is pinned to as many cores. None leaves
            it where it is.
        progress: called with the number of rounds that all rows have done.

    Raises:
        UsageError: no entry, names repeat, or two rows want to be the reference.
        DataError: no image, other classes than a bundle's, or no truth.
        BackendError: a runtime failed.
    """
    _check(entries, dataset)
    before, throttle = conditions(options.root), ThrottleWatch(options.root)
    # Read around each row's turn: energy counters give the mean since the last reading.
    sensors = PowerSensors(options.root)
    shown: dict[int, Shown] = {}
    wanted = _spread_evenly(len(dataset), options.show)
    machine = fingerprint(options.root)
    with pinned(threads), contextlib.ExitStack() as stack:
        rows = [_open(entry, dataset, options, stack) for entry in entries]
        for _ in range(options.warmup):
            for row in rows:
                row.backend.infer(row.frame)
        seen = 0
        for turn, indices in enumerate(options.turns(len(dataset))):
            # A round whose first image was counted before only adds times.
            fresh = indices[0] >= seen
            block = [dataset[index] for index in indices]
            if fresh:
                seen = indices[-1] + 1
                for index, sample in zip(indices, block, strict=True):
                    if sample.labels is None:
                        raise DataError(f"{sample.name} has no truth; bench needs labelled images")
                    if index in wanted:
                        shown[index] = Shown(sample.name, sample.rgb, sample.labels, {})
            for row in rows if turn % 2 == 0 else reversed(rows):
                sensors.read(options.clock())
                _take(row, indices, block, options, fresh, shown)
                power = sensors.read(options.clock())
                if power is not None:
                    row.power.append(power)
            progress(turn + 1)
        after, throttled = conditions(options.root), throttle.read()
        reference = _reference(entries)
        reports = tuple(_report(row, rows[reference], dataset, machine) for row in rows)
    ratios = tuple(
        _ratio(a, b, ra, rb)
        for (a, ra), (b, rb) in itertools.combinations(zip(rows, reports, strict=True), 2)
    )
    return BenchResult(
        machine=machine,
        rows=reports,
        ratios=ratios,
        pareto=pareto(reports, ratios),
        reference=entries[reference].name,
        conditions=_conditions(before, after, throttled, threads, rows),
        times_ns={row.entry.name: row.rounds for row in rows},
        shown=tuple(shown[index] for index in sorted(shown)),
    )


def _check(entries: Sequence[Entry], dataset: Dataset) -> None:
    names = [entry.name for entry in entries]
    if not names or len(set(names)) != len(names):
        raise UsageError(f"bench rows need names of their own, given {', '.join(names) or 'none'}")
    if sum(entry.reference for entry in entries) > 1:
        raise UsageError("two rows are marked as the reference; mark one")
    if len(dataset) == 0:
        raise DataError(f"{dataset.name} has no image; give one that has")
    for entry in entries:
        if entry.scored and entry.bundle.spec.class_names != tuple(dataset.class_names):
            raise DataError(f"{dataset.name} has other classes than {entry.bundle.name}")


def _reference(entries: Sequence[Entry]) -> int:
    """Return the marked row's place, else the first FP32 bundle's, else the first's."""
    for wanted in (
        [entry.reference for entry in entries],
        [entry.bundle.precision == "fp32" for entry in entries],
    ):
        if any(wanted):
            return wanted.index(True)
    return 0


def _open(
    entry: Entry, dataset: Dataset, options: BenchOptions, stack: contextlib.ExitStack
) -> _Row:
    _give_back()
    before = pss_bytes(options.root)
    if entry.opener is not None:
        backend = stack.enter_context(entry.opener())
    else:
        backend = stack.enter_context(open_backend(entry.backend, entry.bundle, **entry.options))
    backend.infer(entry.bundle.golden().frame)
    after = pss_bytes(options.root)
    known = dict(backend.memory)
    grown = None if before is None or after is None else Memory(MEMORY, after - before, known)
    scorer = Scorer(entry.bundle.spec.n_classes, dataset.ignore_index, boundary=options.boundary)
    return _Row(entry, backend, grown, stack.enter_context(scorer))


def _give_back() -> None:
    """Hand freed memory back to the system, or the next row would seem to need less of it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        # glibc only; other C libraries lack the function, and there the figure is a lower bound.
        ctypes.CDLL(None).malloc_trim(0)


def _take(
    row: _Row,
    indices: Sequence[int],
    block: Sequence[Sample],
    options: BenchOptions,
    fresh: bool,
    shown: Mapping[int, Shown],
) -> None:
    spec, clock = row.entry.bundle.spec, options.clock
    times = []
    for index, sample in zip(indices, block, strict=True):
        start = clock()
        fitted, placement = fit_rgb(sample.rgb, spec.size_hw, spec.preprocess.resize)
        row.stages["preprocess"].add(clock() - start)
        for _ in range(options.repeat):
            start = clock()
            out = row.backend.infer(fitted[None])
            times.append(clock() - start)
        start = clock()
        labels = placement.invert_labels(out[0])
        row.stages["postprocess"].add(clock() - start)
        if fresh and row.entry.scored and sample.labels is not None:
            row.scorer.add(sample.labels, labels)
            if index in shown:
                shown[index].labels[row.entry.name] = labels.copy()
    row.rounds.append(times)
    for took in times:
        row.stages["infer"].add(took)


def _report(row: _Row, reference: _Row, dataset: Dataset, machine: Mapping[str, Any]) -> Report:
    bundle = row.entry.bundle
    series = {name: times.percentiles() for name, times in row.stages.items()}
    mean_s = sum(row.rounds_ns) / sum(map(len, row.rounds)) / 1e9
    watts = {
        rail: sum(power.rails_w[rail] for power in row.power) / len(row.power)
        for rail in (row.power[0].rails_w if row.power else ())
    }
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
        accuracy=_accuracy(row),
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


def _accuracy(row: _Row) -> Accuracy | None:
    found = row.scorer.accuracy() if row.entry.scored else None
    if found is None:
        return None
    ious = row.scorer.scores().per_class_iou
    names = row.entry.bundle.spec.class_names
    return dataclasses.replace(
        found,
        per_class_iou={
            name: None if math.isnan(iou) else iou for name, iou in zip(names, ious, strict=True)
        },
    )


def _compared(row: _Row, reference: _Row) -> Reference | None:
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


def _intervals(row: _Row, reference: _Row) -> dict[str, tuple[float, float]]:
    found = {
        f"infer_{name}_ms": (low / NS_PER_MS, high / NS_PER_MS)
        for name, (low, high) in percentile_intervals(row.rounds).items()
    }
    if row is not reference:
        relative = percentile_intervals(relative_times(row.rounds, reference.rounds))
        found |= {f"time_ratio_{name}": relative[name] for name in ("p90", "p99") if relative}
    return found


def _ratio(a: _Row, b: _Row, report_a: Report, report_b: Report) -> Ratio:
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


def _conditions(
    before: Conditions,
    after: Conditions,
    throttled: Throttle | None,
    threads: int | None,
    rows: Sequence[_Row],
) -> dict[str, Any]:
    return {
        **conditions_json(before, after, throttled, threads),
        "spread": {row.entry.name: spread(row.rounds_ns) for row in rows},
    }


def _spread_evenly(n: int, wanted: int) -> set[int]:
    return {(2 * k + 1) * n // (2 * wanted) for k in range(min(wanted, n))} if wanted else set()
