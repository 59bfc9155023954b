"""Frames of the synthetic drive through a tiny bundle: `soak_run.py FOLDER FRAMES file|camera`.

A process of its own, without the tests' type checks, which would be most of its time. Prints one
JSON list: PSS of anonymous memory, threads, open files and PSS every thousand frames. The share of
a library's pages changes with every other process that maps it, so anonymous memory is what is
judged; it is the smaller figure, and 1 % of it the smaller allowance.
"""

import gc
import json
import sys
import threading
from pathlib import Path

from tinybundle import SIZE_HW, tiny_bundle

from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.sources.open import open_source
from edgeseg.runtime.streaming.flicker import Flicker
from edgeseg.runtime.streaming.loop import Loop, LoopOptions
from edgeseg.runtime.streaming.shadow import Shadow, ShadowOptions
from edgeseg.runtime.telemetry import Telemetry
from edgeseg.runtime.telemetry.readings import read_kib

# Caches of the allocator, the runtime and numpy fill up first.
SETTLED = 4_000
EVERY = 1_000


def main() -> None:
    folder, frames, kind = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    bundle = tiny_bundle(folder / "tiny", precision="int8")
    uri = f"synthetic://?frames={frames}&size={SIZE_HW[0]}x{SIZE_HW[1]}"
    readings = []

    def look(done: int) -> None:
        # With the last frame the threads before this one have ended.
        if SETTLED <= done < frames and done % EVERY == 0:
            gc.collect()
            files = sum(1 for _ in Path("/proc/self/fd").iterdir())
            rollup = Path("/proc/self/smaps_rollup")
            memory, whole = read_kib(rollup, "Pss_Anon"), read_kib(rollup, "Pss")
            readings.append((memory, threading.active_count(), files, whole))
            print(done, readings[-1], file=sys.stderr, flush=True)

    def reference():
        return open_backend("onnxruntime", bundle, threads=1)

    # Far faster than it can be drawn: a camera through every handoff, without waiting.
    pace = 1e6 if kind == "camera" else None
    with (
        Telemetry() as telemetry,
        open_source(uri, bundle.spec, pace_fps=pace) as source,
        open_backend("onnxruntime", bundle, threads=1) as backend,
        Flicker() as flicker,
        Shadow(reference, bundle, bundle.spec, ShadowOptions(every=30)) as shadow,
    ):
        # Its truth is of other classes than the tiny network's.
        source.labelled = False
        loop = Loop(backend, bundle, source, (), LoopOptions(), [flicker, shadow])
        result = loop.run(progress=look, measure=telemetry.measure)
    if result.error is not None:
        raise result.error
    print(json.dumps({"frames": result.report.frames, "readings": readings}))


if __name__ == "__main__":
    main()
