"""Runs bundles and backends side by side on the same frames and measures each."""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import gc
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.data.dataset import Dataset, Sample
from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.report import Memory
from edgeseg.errors import DataError, UsageError
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.bench.bootstrap import spread, time_ratio
from edgeseg.runtime.bench.conditions import Conditions, conditions, conditions_json, pinned
from edgeseg.runtime.bench.result import BenchResult, Shown, pareto
from edgeseg.runtime.bench.row import Entry, Row, row_ratio, row_report
from edgeseg.runtime.evaluation.scoring import Scorer
from edgeseg.runtime.telemetry import ROOT, fingerprint, pss_bytes
from edgeseg.runtime.telemetry.power import PowerSensors
from edgeseg.runtime.telemetry.thermal import Throttle, ThrottleWatch

MEMORY = "growth of the process's PSS while the backend was opened and ran once, median"

# Rounds between two looks at the intervals.
CHECK_EVERY = 6


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """How a bench runs.

    Attributes:
        block: images that every row takes before the next row's turn; one block is one round.
        rounds: go over the images again until there were so many rounds; accuracy counts each
            image once.
        most_rounds: go on to so many at most while a row's time ratio is not known to `width`.
        width: upper over lower end of a ratio's 95 % interval that is narrow enough.
        openings: times each backend is opened; memory is the median of them.
        repeat: times each image is timed in its block; accuracy counts it once.
        warmup: turns of each row before anything is timed.
        boundary: measure BF too.
        show: images whose labels are kept for pictures, spread evenly.
        clock: nanoseconds that only go forward.
        root: the file system's root, another one in tests.
    """

    block: int = 4
    rounds: int = 1
    most_rounds: int = 0
    width: float = 1.08
    openings: int = 3
    repeat: int = 1
    warmup: int = 3
    boundary: bool = False
    show: int = 0
    clock: Callable[[], int] = time.perf_counter_ns
    root: Path = ROOT

    def turns(self, n_images: int) -> list[list[int]]:
        """Return the images of each round; the first len are the images once, in order."""
        return list(itertools.islice(*self._every_turn(n_images)))

    def more_turns(self, n_images: int) -> list[list[int]]:
        """Return the images of the rounds that follow while intervals are wide."""
        every, n = self._every_turn(n_images)
        return list(itertools.islice(every, n, max(n, self.most_rounds)))

    def _every_turn(self, n_images: int) -> tuple[Iterator[list[int]], int]:
        # Few images are dealt out thinly, so that a small data set still gives enough rounds.
        block = max(1, min(self.block, math.ceil(n_images / self.rounds)))
        once = [
            list(range(start, min(start + block, n_images))) for start in range(0, n_images, block)
        ]
        return itertools.cycle(once), max(self.rounds, len(once))


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
        reference = _reference(entries)
        seen = 0
        for turn, indices in enumerate(_until_known(rows, reference, options, len(dataset))):
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
        reports = tuple(row_report(row, rows[reference], dataset, machine) for row in rows)
    ratios = tuple(
        row_ratio(a, b, ra, rb)
        for (a, ra), (b, rb) in itertools.combinations(zip(rows, reports, strict=True), 2)
    )
    return BenchResult(
        machine=machine,
        rows=reports,
        ratios=ratios,
        pareto=pareto(reports, ratios),
        reference=entries[reference].name,
        conditions=_conditions(before, after, throttled, threads, rows, reference, options),
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


def _until_known(
    rows: Sequence[Row], reference: int, options: BenchOptions, n_images: int
) -> Iterator[list[int]]:
    """Yield the images of each round, and of further ones while any ratio's interval is wide."""
    yield from options.turns(n_images)
    for done, indices in enumerate(options.more_turns(n_images)):
        if done % CHECK_EVERY == 0 and not _wide(rows, rows[reference], options.width):
            return
        yield indices


def _wide(rows: Sequence[Row], reference: Row, width: float) -> list[str]:
    """Return the names of the rows whose time ratio is known to less than `width`."""
    found = [
        (row.entry.name, time_ratio(row.rounds_ns, reference.rounds_ns))
        for row in rows
        if row is not reference
    ]
    return [name for name, ratio in found if ratio.high > ratio.low * width]


def _open(
    entry: Entry, dataset: Dataset, options: BenchOptions, stack: contextlib.ExitStack
) -> Row:
    """Open a row's backend; what it needs is the median of several openings.

    The first one also loads the runtime's library, and one of them may find memory that the
    process had kept.
    """
    grown = []
    for _ in range(options.openings - 1):
        with contextlib.ExitStack() as once:
            grown.append(_opened(entry, options, once)[1])
    backend, last = _opened(entry, options, stack)
    known = [each for each in (*grown, last) if each is not None]
    peak = int(statistics.median(known)) if known else 0
    # What did not grow was not measured: the process had kept memory and used it again.
    memory = Memory(MEMORY, peak, dict(backend.memory)) if peak > 0 else None
    scorer = Scorer(entry.bundle.spec.n_classes, dataset.ignore_index, boundary=options.boundary)
    return Row(entry, backend, memory, stack.enter_context(scorer))


def _opened(
    entry: Entry, options: BenchOptions, stack: contextlib.ExitStack
) -> tuple[Backend, int | None]:
    """Open a backend, run it once, and return it and by how many bytes the process grew."""
    _give_back()
    before = pss_bytes(options.root)
    if entry.opener is not None:
        backend = stack.enter_context(entry.opener())
    else:
        backend = stack.enter_context(open_backend(entry.backend, entry.bundle, **entry.options))
    backend.infer(entry.bundle.golden().frame)
    after = pss_bytes(options.root)
    return backend, None if before is None or after is None else after - before


def _give_back() -> None:
    """Hand freed memory back to the system, or the next row would seem to need less of it."""
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):
        # glibc only; other C libraries lack the function, and there the figure is a lower bound.
        ctypes.CDLL(None).malloc_trim(0)


def _take(
    row: Row,
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


def _conditions(
    before: Conditions,
    after: Conditions,
    throttled: Throttle | None,
    threads: int | None,
    rows: Sequence[Row],
    reference: int,
    options: BenchOptions,
) -> dict[str, Any]:
    found = conditions_json(before, after, throttled, threads)
    for name in _wide(rows, rows[reference], options.width) if options.most_rounds else ():
        found["doubts"].append(
            f"the time of {name} is known to {options.width - 1:.0%} not even "
            f"after {len(rows[reference].rounds)} rounds"
        )
    return {
        **found,
        "spread": {row.entry.name: spread(row.rounds_ns) for row in rows},
    }


def _spread_evenly(n: int, wanted: int) -> set[int]:
    return {(2 * k + 1) * n // (2 * wanted) for k in range(min(wanted, n))} if wanted else set()
