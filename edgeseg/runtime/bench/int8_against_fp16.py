"""Builds a bundle's TensorRT engines and times INT8 against its FP16 baseline."""

from __future__ import annotations

import contextlib
import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.bundle import Bundle
from edgeseg.core.stage_times import NS_PER_MS, Percentiles, frames_per_second, percentiles_ms
from edgeseg.errors import BackendError, UsageError
from edgeseg.runtime.backends.choose import options_for
from edgeseg.runtime.backends.open import open_backend
from edgeseg.runtime.backends.tensorrt import TensorRtBackend
from edgeseg.runtime.engine.cache import DEFAULT_CACHE, LAYERS, WORKSPACE_BYTES
from edgeseg.runtime.engine.fastest import Fastest, keep_fastest
from edgeseg.runtime.evaluation.verify import MIN_AGREEMENT

ROUNDS = 9
PER_ROUND = 20
BASELINE = "fp16"
DEPTHWISE, HEAD = "float-depthwise", "label-codes"
# An edited graph may take another of two equal classes in so many pixels.
TIES = 0.001


@dataclasses.dataclass(frozen=True)
class EngineTimes:
    """One engine's times.

    Attributes:
        latency_ms: frame in to labels out, one frame at a time.
        pipelined_fps: frames a second with two in flight.
        rounds_ns: time of each round, for ratios inside one round.
    """

    latency_ms: Percentiles
    pipelined_fps: float | None
    rounds_ns: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "latency_ms": dataclasses.asdict(self.latency_ms),
            "pipelined_fps": self.pipelined_fps,
            "mean_round_ms": statistics.mean(self.rounds_ns) / NS_PER_MS,
        }


def time_in_turns(
    backends: Mapping[str, TensorRtBackend],
    frame: UInt8[np.ndarray, "n h w 3"],
    *,
    rounds: int = ROUNDS,
    per_round: int = PER_ROUND,
    clock: Callable[[], int] = time.perf_counter_ns,
    progress: Callable[..., None] = lambda *args: None,
) -> dict[str, EngineTimes]:
    """Time every backend in turns, every other round in reverse order.

    Args:
        backends: open, by name.
        frame: what each runs.
        rounds: turns of each.
        per_round: frames of each in a turn.
        clock: nanoseconds that only go forward.
        progress: told (rounds done, rounds).
    """
    names = list(backends)
    times: dict[str, list[int]] = {name: [] for name in names}
    sums: dict[str, list[int]] = {name: [] for name in names}
    rates: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds):
        for name in names if turn % 2 == 0 else reversed(names):
            backend = backends[name]
            backend.infer(frame)
            start_round = clock()
            for _ in range(per_round):
                start = clock()
                backend.infer(frame)
                times[name].append(clock() - start)
            sums[name].append(clock() - start_round)
            stamps = [clock() for _ in backend.infer_all([frame] * per_round)]
            rate = frames_per_second(len(stamps), stamps[0], stamps[-1])
            if rate is not None:
                rates[name].append(rate)
        progress(turn + 1, rounds)
    times_of = {}
    for name in names:
        latency = percentiles_ms(times[name])
        assert latency is not None  # every round added some
        rate = statistics.median(rates[name]) if rates[name] else None
        times_of[name] = EngineTimes(latency, rate, tuple(sums[name]))
    return times_of


def ratio(a: EngineTimes, b: EngineTimes) -> float:
    """Return the median over the rounds of a's time over b's; above 1, b is faster."""
    return statistics.median(x / y for x, y in zip(a.rounds_ns, b.rounds_ns, strict=True))


@dataclasses.dataclass(frozen=True)
class BuildOptions:
    """How engines are built.

    Attributes:
        precision: the one engine that is wanted; None builds the bundle's own, and for an INT8
            bundle its FP16 baseline.
        explain: list every layer in the result.
        rebuild: build although the cache has the engine.
        workspace_bytes: most scratch memory for one kernel.
        level: builder optimization level 0-5; None takes TensorRT's own.
        plugin: library with plugins that the graph names.
        cache: folder of the engines; None takes the default one.
        race: build the engines of edited graphs as well (EDITS); the golden frame must agree.
    """

    precision: str | None = None
    explain: bool = False
    rebuild: bool = False
    workspace_bytes: int = WORKSPACE_BYTES
    level: int | None = None
    plugin: Path | None = None
    cache: Path | None = None
    race: bool = False


@dataclasses.dataclass(frozen=True)
class Runner:
    """One engine of a race.

    Attributes:
        precision: of the engine.
        edits: keys of EDITS, done to its graph.
    """

    precision: str
    edits: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What tables call it."""
        return " ".join((self.precision, *self.edits))


def runners(bundle: Bundle, options: BuildOptions) -> list[Runner]:
    """Return the engines to build, those without edits first."""
    wanted = [options.precision or bundle.precision]
    if options.precision is None and bundle.precision == "int8":
        wanted.append(BASELINE)
    plain = [Runner(precision) for precision in wanted]
    if not options.race:
        return plain
    edited = [
        Runner(runner.precision, edits)
        for runner in plain
        for edits in ((HEAD,), (DEPTHWISE,), (DEPTHWISE, HEAD))
        if runner.precision == "int8" or DEPTHWISE not in edits
    ]
    return [*plain, *edited]


def build_engines(
    bundle: Bundle,
    options: BuildOptions,
    progress: Callable[..., None] = lambda *args: None,
) -> dict[str, Any]:
    """Build a bundle's engines, or find them in the cache, and time them in turns.

    Args:
        bundle: what is built.
        options: which engines, and how.
        progress: told (done, total, note) while an engine is built and while they are timed.

    The engines are built one by one, and one is enough. The fastest of those that agree with the
    golden frame is recorded for precision "auto", unless one precision was asked for.

    Returns:
        Plain JSON values: `runtime`, `device`, `engines` with what was built and measured of each,
        `failed` with the reason of each that could not be built, `fastest` (precision and edits),
        `fp16_over_int8` (median time of FP16 over INT8's, None where one is missing), `warnings`.

    Raises:
        BackendUnavailable: no driver, or no TensorRT.
        UsageError: the bundle has no graph of the precision that is wanted.
        BackendError: no engine that is wanted can be built; why the first one could not.
    """
    given = options_for("tensorrt", 0, cache=options.cache, plugin=options.plugin) | {
        "workspace_bytes": options.workspace_bytes,
        "level": -1 if options.level is None else options.level,
        "rebuild": "asked for with --rebuild" if options.rebuild else "",
        "retry": True,
    }
    with contextlib.ExitStack() as stack:
        backends: dict[str, Any] = {}
        built: dict[str, Runner] = {}
        failures: dict[str, UsageError | BackendError] = {}
        for runner in runners(bundle, options):
            try:
                opened = open_backend(
                    "tensorrt", bundle, **given, precision=runner.precision, edits=runner.edits,
                    progress=progress,
                )  # fmt: skip
            except (UsageError, BackendError) as error:
                failures[runner.name] = error
                continue
            backends[runner.name] = stack.enter_context(opened)
            built[runner.name] = runner
        if not backends:
            raise next(iter(failures.values()))
        golden = bundle.golden()
        agreement = {
            name: float((backend.infer(golden.frame) == golden.labels).mean())
            for name, backend in backends.items()
        }
        times = time_in_turns(backends, golden.frame, progress=progress)
        winner = _fastest(built, times, agreement)
        if winner is not None and options.precision is None:
            keep_fastest(
                options.cache or Path.home() / DEFAULT_CACHE,
                bundle.name,
                bundle.digest,
                backends[winner.name].engine.key,
                Fastest(winner.precision, winner.edits),
            )
        reasons = {name: str(error) for name, error in failures.items()}
        return _document(
            backends, built, times, agreement, reasons, winner, explain=options.explain
        )


def _fastest(
    built: Mapping[str, Runner], times: Mapping[str, EngineTimes], agreement: Mapping[str, float]
) -> Runner | None:
    """Return the quickest engine whose labels are right, None where none is.

    A form without edits has to agree as verify wants it. An edited one must agree as well as the
    form it was made from, but for a few pixels of a tie.
    """

    def is_right(name: str, runner: Runner) -> bool:
        least = MIN_AGREEMENT[runner.precision]
        if runner.edits:
            least = max(least, agreement.get(runner.precision, 0.0) - TIES)
        return agreement[name] >= least

    right = [name for name, runner in built.items() if is_right(name, runner)]
    best = min(right, key=lambda name: statistics.median(times[name].rounds_ns), default=None)
    return None if best is None else built[best]


def _document(
    backends: Mapping[str, TensorRtBackend],
    built: Mapping[str, Runner],
    times: Mapping[str, EngineTimes],
    agreement: Mapping[str, float],
    failed: Mapping[str, str],
    winner: Runner | None,
    *,
    explain: bool,
) -> dict[str, Any]:
    engines = []
    # An edit that a graph does not take is no trouble; `failed` has it.
    warnings = [
        f"no {name} {'baseline' if name == BASELINE else 'engine'}: {reason}"
        for name, reason in failed.items()
        if " " not in name
    ]
    for name, backend in backends.items():
        engine = backend.engine
        row: dict[str, Any] = {
            "precision": built[name].precision,
            "edits": list(built[name].edits),
            "runs_in": backend.io.precision,
            "plan": str(engine.path),
            "built": bool(engine.reason),
            "reason": engine.reason,
            "golden_agreement": agreement[name],
            "cuda_graph": not backend.graph_note,
            "cuda_graph_note": backend.graph_note,
            **engine.facts,
            **times[name].to_json(),
            "layers": engine.layers.counts,
            "reformats": len(engine.layers.reformats),
        }
        if explain:
            row["explain"] = engine.layers.to_json()
            # What NVIDIA's engine viewers read; an engine of an older edgeseg has none.
            inspected = engine.path.with_suffix(LAYERS)
            row["layer_info"] = str(inspected) if inspected.is_file() else None
        engines.append(row)
        if engine.facts.get("note"):
            warnings.append(f"{name}: {engine.facts['note']}")
    found: float | None = None
    if {"int8", BASELINE} <= set(times):
        found = ratio(times[BASELINE], times["int8"])
        if found <= 1:
            warnings.append(
                f"INT8 is not faster than FP16 here: time of FP16 over INT8 is {found:.2f}; use "
                f"--fp16, or look for reformats and float layers with --explain"
            )
    if winner is None:
        warnings.append(
            "no engine gives the golden frame's labels; run edgeseg verify, and do not trust them"
        )
    first = next(iter(backends.values()))
    return {
        "runtime": first.io.runtime,
        "device": first.io.device,
        "engines": engines,
        "failed": dict(failed),
        "fastest": winner and {"precision": winner.precision, "edits": list(winner.edits)},
        "fp16_over_int8": found,
        "warnings": warnings,
    }
