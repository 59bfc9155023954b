"""Runs the loops of several cameras side by side on one network."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from typing import Any

from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.backends.shared import Lane
from edgeseg.runtime.sources.base import Source
from edgeseg.runtime.streaming.loop import Loop, LoopResult
from edgeseg.runtime.telemetry import Measurement, Telemetry

POLL_S = 0.25


def run_all(
    loops: Sequence[Loop],
    lanes: Sequence[Backend],
    sources: Sequence[Source],
    stop: threading.Event,
    telemetry: Telemetry,
    frames: int | None,
    progress: Callable[[float, float | None], None] = lambda done, total: None,
) -> list[LoopResult]:
    """Run the loops side by side; one that ends leaves the backend to the others.

    Args:
        loops: one for each camera.
        lanes: what each of them calls.
        sources: what each of them reads.
        stop: set it, and all of them end.
        telemetry: begins and measures for all.
        frames: most frames of each, None for all.
        progress: told (frames done, frames in all) over all cameras; None where it is unknown.

    Raises:
        Exception: what one of them raised that a report cannot hold.
    """
    done = [0] * len(loops)
    results: list[Any] = [None] * len(loops)
    lengths = [source.length for source in sources]
    totals = [min(frames or n, n) if n is not None else frames for n in lengths]
    known = [total for total in totals if total is not None]
    total = sum(known) if len(known) == len(totals) else None

    def one(number: int) -> None:
        def finished(count: int) -> None:
            done[number] = count
            progress(sum(done), total)

        def measure() -> Measurement:
            # The last frame is done: the others' batches need not wait for this camera while
            # its scores are worked out, nor for the rest of their own runs.
            if isinstance(lanes[number], Lane):
                lanes[number].close()
            return telemetry.measure()

        try:
            results[number] = loops[number].run(
                stop=stop, progress=finished, begin=telemetry.begin, measure=measure
            )
        except Exception as error:
            # A thread's exception would be lost.
            results[number] = error

    if len(loops) == 1:
        one(0)
    else:
        threads = [
            threading.Thread(target=one, args=(number,), name="edgeseg-camera")
            for number in range(len(loops))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                # In pieces, so that signals are noticed.
                thread.join(POLL_S)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return sharing_energy(results)


def sharing_energy(results: list[LoopResult]) -> list[LoopResult]:
    """Charge each frame with its share: sensors measure the whole board, which all cameras use."""
    rate = sum(result.report.fps or 0.0 for result in results)
    shared = []
    for result in results:
        report = result.report
        if len(results) > 1 and report.energy is not None:
            energy = {
                **report.energy,
                "joules_per_frame": report.energy["mean_w"] / rate,
                "method": f"{report.energy['method']}, over the frames of {len(results)} cameras",
            }
            report = dataclasses.replace(report, energy=energy)
        shared.append(dataclasses.replace(result, report=report))
    return shared
