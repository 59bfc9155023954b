"""The cameras of one `edgeseg stream`, side by side on one network."""

from __future__ import annotations

import contextlib
import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from edgeseg.cli.common.output import progress_bar, say

if TYPE_CHECKING:
    from edgeseg.runtime.backends.base import Backend
    from edgeseg.runtime.sources.base import Source
    from edgeseg.runtime.streaming.loop import Loop, LoopResult
    from edgeseg.runtime.telemetry import Measurement, Telemetry

WATCH_S = 0.25
JOIN_S = 10.0
# A container's own count of frames may be an estimate, so a video of this share of it is whole.
WHOLE = 0.9


def run_all(
    loops: Sequence[Loop],
    lanes: Sequence[Backend],
    sources: Sequence[Source],
    stop: threading.Event,
    telemetry: Telemetry,
    frames: int | None,
) -> list[LoopResult]:
    """Run the loops side by side; one that ends leaves the backend to the others.

    Args:
        loops: one for each camera.
        lanes: what each of them calls.
        sources: what each of them reads.
        stop: set it, and all of them end.
        telemetry: begins and measures for all.
        frames: most frames of each, None for all.

    Raises:
        Exception: what one of them raised that a report cannot hold.
    """
    from edgeseg.runtime.backends.shared import Lane

    done = [0] * len(loops)
    results: list[Any] = [None] * len(loops)
    lengths = [source.length for source in sources]
    totals = [min(frames or n, n) if n is not None else frames for n in lengths]
    known = [total for total in totals if total is not None]
    total = sum(known) if len(known) == len(totals) else None
    with progress_bar("stream", total) as bar:

        def one(number: int) -> None:
            def progress(count: int) -> None:
                done[number] = count
                bar.update(sum(done), total)

            def measure() -> Measurement:
                # The last frame is done: the others' batches need not wait for this camera while
                # its scores are worked out, nor for the rest of their own runs.
                if isinstance(lanes[number], Lane):
                    lanes[number].close()
                return telemetry.measure()

            try:
                results[number] = loops[number].run(
                    stop=stop, progress=progress, begin=telemetry.begin, measure=measure
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
                    thread.join(WATCH_S)
    for result in results:
        if isinstance(result, Exception):
            raise result
    return sharing_energy(results)


def sharing_energy(results: list[LoopResult]) -> list[LoopResult]:
    """Charge each frame with its share: sensors tell of the whole board, which all cameras use."""
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


def say_cut(sources: Sequence[Source], results: Sequence[LoopResult]) -> None:
    """Say which files ended long before their end: decoders take a cut file for a short one."""
    for source, result in zip(sources, results, strict=True):
        n, length = result.report.frames, source.length
        ended = result.report.run["ended_by"] == "end"
        if ended and not source.live and length is not None and n < WHOLE * length:
            say(
                f"{source.uri} gave {n} of the {length} frames it promises; it may have been cut "
                "off or damaged, look whether the copy is whole"
            )


@contextlib.contextmanager
def announced(sources: Sequence[Source]) -> Iterator[None]:
    """Say on standard error when a camera changes its state."""
    ended = threading.Event()
    cameras = [source for source in sources if source.state is not None]

    def watch() -> None:
        seen: list[tuple[Any, ...]] = [() for _ in cameras]
        over = False
        while not over:
            over = ended.wait(WATCH_S)
            for number, camera in enumerate(cameras):
                events = tuple(camera.events)
                for event in [event for event in events if event not in seen[number]]:
                    at = f"after {event.at_s:.1f} s"
                    say(f"{camera.uri}: {event.state.value} {at}, {event.reason}")
                seen[number] = events

    thread = threading.Thread(target=watch, name="edgeseg-announce")
    if cameras:
        thread.start()
    try:
        yield
    finally:
        ended.set()
        if cameras:
            thread.join(JOIN_S)
