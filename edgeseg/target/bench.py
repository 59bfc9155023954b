"""Bundles and backends side by side: accuracy, latency and memory from the same frames."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.dataset import Dataset, Sample
from edgeseg.core.image import fit_rgb
from edgeseg.core.report import BundleId, Memory, Report, StageTimes
from edgeseg.errors import DataError, UsageError
from edgeseg.target.backends import open_backend
from edgeseg.target.backends.base import Backend
from edgeseg.target.scoring import Scorer
from edgeseg.target.telemetry import ROOT, fingerprint, pss_bytes

MEMORY = "growth of the process's PSS while the backend was opened and warmed up"


@dataclasses.dataclass(frozen=True)
class Entry:
    """One row: a bundle on a backend.

    Attributes:
        name: unique in the table.
        bundle: what runs.
        backend: a key of BACKENDS.
        options: keyword arguments of the backend.
    """

    name: str
    bundle: Bundle
    backend: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """How a bench runs.

    Attributes:
        block: images that every row takes before the next row's turn; one block is one round.
        repeat: times each image is timed in its block; accuracy counts it once.
        warmup: runs of each backend before anything is timed.
        boundary: measure BF too.
        clock: nanoseconds that only go forward.
        root: the file system's root, another one in tests.
    """

    block: int = 4
    repeat: int = 1
    warmup: int = 3
    boundary: bool = False
    clock: Callable[[], int] = time.perf_counter_ns
    root: Path = ROOT


@dataclasses.dataclass(frozen=True)
class Ratio:
    """Two rows compared inside one run.

    Attributes:
        a: name of a row.
        b: name of a later row.
        latency_ratio: median over the rounds of a's time over b's; above 1, b is faster.
        miou_difference: b's mIoU less a's.
    """

    a: str
    b: str
    latency_ratio: float
    miou_difference: float


@dataclasses.dataclass(frozen=True)
class BenchResult:
    """The table.

    Attributes:
        machine: where it ran.
        rows: one report per entry, its name in `run["name"]`.
        ratios: every pair of rows.
        pareto: names of the rows that no other row beats in both mIoU and median latency.
    """

    machine: Mapping[str, Any]
    rows: tuple[Report, ...]
    ratios: tuple[Ratio, ...]
    pareto: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the document of `edgeseg bench --json`."""
        return {
            "machine": dict(self.machine),
            "rows": [row.to_json() for row in self.rows],
            "ratios": [dataclasses.asdict(ratio) for ratio in self.ratios],
            "pareto": list(self.pareto),
        }


class _Row:
    def __init__(
        self, entry: Entry, backend: Backend, memory: Memory | None, scorer: Scorer
    ) -> None:
        self.entry = entry
        self.backend = backend
        self.memory = memory
        self.scorer = scorer
        self.infer = StageTimes()
        self.preprocess = StageTimes()
        self.rounds_ns: list[int] = []


def bench(
    entries: Sequence[Entry],
    dataset: Dataset,
    options: BenchOptions = BenchOptions(),
    *,
    progress: Callable[[int], None] = lambda done: None,
) -> BenchResult:
    """Run every entry over the labelled images, interleaved.

    The rows take turns block by block and every other round in reverse order, so that a noisy
    neighbour or a hot machine falls on all of them; only their ratios are worth quoting.

    Args:
        entries: the rows, with unique names.
        dataset: labelled images of the bundles' classes.
        options: how to run.
        progress: called with the number of images that all rows have done.

    Raises:
        UsageError: no entry, or names repeat.
        DataError: other classes than a bundle's, or no truth.
        BackendError: a runtime failed.
    """
    names = [entry.name for entry in entries]
    if not names or len(set(names)) != len(names):
        raise UsageError(f"bench rows need names of their own, given {', '.join(names) or 'none'}")
    for entry in entries:
        if entry.bundle.spec.class_names != tuple(dataset.class_names):
            raise DataError(f"{dataset.name} has other classes than {entry.bundle.name}")
    with contextlib.ExitStack() as stack:
        rows = [_open(entry, dataset, options, stack) for entry in entries]
        numbers = iter(range(len(dataset)))
        for turn in itertools.count():
            block = [dataset[i] for i in itertools.islice(numbers, options.block)]
            if not block:
                break
            for row in rows if turn % 2 == 0 else reversed(rows):
                _take(row, block, options)
            progress(min((turn + 1) * options.block, len(dataset)))
        machine = fingerprint(options.root)
        reports = tuple(_report(row, dataset, machine) for row in rows)
    ratios = tuple(
        Ratio(a.entry.name, b.entry.name, _latency_ratio(a, b), _miou(rb) - _miou(ra))
        for (a, ra), (b, rb) in itertools.combinations(zip(rows, reports, strict=True), 2)
    )
    return BenchResult(machine, reports, ratios, pareto(reports))


def pareto(reports: Sequence[Report]) -> tuple[str, ...]:
    """Return the names of rows that no other row equals or beats in both figures, one strictly."""

    def beats(one: Report, other: Report) -> bool:
        faster = one.latency_ms["infer"].p50, other.latency_ms["infer"].p50
        better = _miou(one), _miou(other)
        return (
            faster[0] <= faster[1]
            and better[0] >= better[1]
            and (faster[0] < faster[1] or better[0] > better[1])
        )

    return tuple(
        str(row.run["name"]) for row in reports if not any(beats(other, row) for other in reports)
    )


def _open(
    entry: Entry, dataset: Dataset, options: BenchOptions, stack: contextlib.ExitStack
) -> _Row:
    before = pss_bytes(options.root)
    backend = stack.enter_context(open_backend(entry.backend, entry.bundle, **entry.options))
    # A frame of the bundle's own: the golden one.
    frame = entry.bundle.golden().frame
    for _ in range(max(1, options.warmup)):
        backend.infer(frame)
    after = pss_bytes(options.root)
    grown = None if before is None or after is None else Memory(MEMORY, after - before)
    scorer = Scorer(entry.bundle.spec.n_classes, dataset.ignore_index, boundary=options.boundary)
    return _Row(entry, backend, grown, stack.enter_context(scorer))


def _take(row: _Row, block: Sequence[Sample], options: BenchOptions) -> None:
    spec, clock = row.entry.bundle.spec, options.clock
    total = 0
    for sample in block:
        start = clock()
        fitted, placement = fit_rgb(sample.rgb, spec.size_hw, spec.preprocess.resize)
        row.preprocess.add(clock() - start)
        for _ in range(options.repeat):
            start = clock()
            labels = row.backend.infer(fitted[None])
            took = clock() - start
            row.infer.add(took)
            total += took
        if sample.labels is None:
            raise DataError(f"{sample.name} has no truth; bench needs labelled images")
        row.scorer.add(sample.labels, placement.invert_labels(labels[0]))
    row.rounds_ns.append(total)


def _report(row: _Row, dataset: Dataset, machine: Mapping[str, Any]) -> Report:
    bundle = row.entry.bundle
    series = {"preprocess": row.preprocess.percentiles(), "infer": row.infer.percentiles()}
    return Report(
        bundle=BundleId(bundle.name, bundle.digest, bundle.precision),
        machine=machine,
        source=dataset.name,
        frames=row.scorer.n,
        dropped=0,
        reconnects=0,
        # Rows take turns: a rate over the whole run would count the other rows' time.
        fps=None,
        latency_ms={name: found for name, found in series.items() if found is not None},
        memory=row.memory,
        accuracy=row.scorer.accuracy(),
        backend={"name": row.entry.backend, **row.backend.io.to_json()},
        run={"name": row.entry.name, "rounds": len(row.rounds_ns), "bytes": bundle.size_bytes},
    )


def _latency_ratio(a: _Row, b: _Row) -> float:
    return statistics.median(x / y for x, y in zip(a.rounds_ns, b.rounds_ns, strict=True))


def _miou(report: Report) -> float:
    return report.accuracy.miou if report.accuracy is not None else float("nan")
