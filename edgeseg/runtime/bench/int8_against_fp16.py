"""INT8 against its float baselines on one GPU, interleaved, on the golden frame."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.stage_times import NS_PER_MS, Percentiles, frames_per_second, percentiles_ms
from edgeseg.runtime.backends.tensorrt import TensorRtBackend

ROUNDS = 9
PER_ROUND = 20


@dataclasses.dataclass(frozen=True)
class Lap:
    """One engine's figures.

    Attributes:
        latency_ms: frame in to labels out, one frame at a time.
        pipelined_fps: frames a second with two in flight.
        rounds_ns: time of each round, for ratios inside one round.
    """

    latency_ms: Percentiles
    pipelined_fps: float | None
    rounds_ns: tuple[int, ...]


def race(
    backends: Mapping[str, TensorRtBackend],
    frame: UInt8[np.ndarray, "n h w 3"],
    *,
    rounds: int = ROUNDS,
    per_round: int = PER_ROUND,
    clock: Callable[[], int] = time.perf_counter_ns,
    progress: Callable[..., None] = lambda *args: None,
) -> dict[str, Lap]:
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
    laps = {}
    for name in names:
        latency = percentiles_ms(times[name])
        assert latency is not None  # every round added some
        rate = statistics.median(rates[name]) if rates[name] else None
        laps[name] = Lap(latency, rate, tuple(sums[name]))
    return laps


def ratio(a: Lap, b: Lap) -> float:
    """Return the median over the rounds of a's time over b's; above 1, b is faster."""
    return statistics.median(x / y for x, y in zip(a.rounds_ns, b.rounds_ns, strict=True))


def lap_json(lap: Lap) -> dict[str, Any]:
    """Return plain JSON values."""
    return {
        "latency_ms": dataclasses.asdict(lap.latency_ms),
        "pipelined_fps": lap.pipelined_fps,
        "mean_round_ms": statistics.mean(lap.rounds_ns) / NS_PER_MS,
    }
