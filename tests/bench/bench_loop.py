"""What the camera loop costs over a bare loop: `python tests/bench/bench_loop.py BUNDLE SOURCE`.

Two processes stay open, one with a bare loop (read, fit, infer, copy the labels back) and one with
edgeseg's Loop, on the same backend and frames. They take turns block by block, so that a noisy
neighbour falls on both. Printed: the ratios of wall and of CPU time per frame, median over the
blocks, and of peak resident memory. Target: at most 1.05 and 1.3.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path


def child(kind: str, options: argparse.Namespace) -> None:
    """Open the backend, then run one block per line on standard input."""
    from edgeseg.core.bundle import read_bundle
    from edgeseg.runtime.backends import open_backend
    from edgeseg.runtime.sources.open import open_source
    from edgeseg.runtime.telemetry import Telemetry

    bundle = read_bundle(Path(options.bundle))
    spec = bundle.spec
    with open_backend(options.backend, bundle, threads=options.threads) as backend:
        for _ in range(3):
            backend.infer(bundle.golden().frame)
        for _ in sys.stdin:
            with open_source(options.source, spec) as source:
                wall, cpu = time.perf_counter(), time.process_time()
                if kind == "bare":
                    done = bare(backend, spec, source, options.frames)
                else:
                    done = looped(backend, bundle, source, options.frames)
                wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            with Telemetry() as telemetry:
                memory = telemetry.measure().memory
            peak = 0 if memory is None else memory.peak_bytes
            print(json.dumps({"wall": wall / done, "cpu": cpu / done, "peak": peak}), flush=True)


def bare(backend, spec, source, frames: int) -> int:
    """Read, fit, infer and copy back, one after the other."""
    from edgeseg.runtime.evaluation.evaluate import predict
    from edgeseg.runtime.single_slot import Outcome

    done = 0
    while done < frames and not isinstance(frame := source.read(1.0), Outcome):
        predict(backend, spec, frame.rgb)
        done += 1
    return done


def looped(backend, bundle, source, frames: int) -> int:
    """Run the camera loop as `edgeseg stream` does, without truth."""
    from edgeseg.runtime.streaming.loop import Loop, LoopOptions

    source.labelled = False
    result = Loop(backend, bundle, source, options=LoopOptions(warmup=0, max_frames=frames)).run()
    if result.error is not None:
        raise result.error
    return result.report.frames


def main() -> None:
    """Start both processes, let them take turns, print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle")
    parser.add_argument("source")
    parser.add_argument("--backend", default="onnxruntime")
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--frames", type=int, default=30, help="of one block")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--child", choices=["bare", "loop"])
    options = parser.parse_args()
    if options.child:
        child(options.child, options)
        return
    kinds = ("bare", "loop")
    command = [sys.executable, __file__, *sys.argv[1:], "--child"]
    children = {
        kind: subprocess.Popen(
            [*command, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for kind in kinds
    }
    blocks: dict[str, list[dict[str, float]]] = {kind: [] for kind in kinds}
    for turn in range(options.rounds + 1):
        for kind in kinds if turn % 2 else reversed(kinds):
            process = children[kind]
            process.stdin.write("go\n")
            process.stdin.flush()
            blocks[kind].append(json.loads(process.stdout.readline()))
    for process in children.values():
        process.communicate()
    # The first block of each warms the caches up.
    bare_blocks, loop_blocks = blocks["bare"][1:], blocks["loop"][1:]
    for name in ("wall", "cpu"):
        ratios = [b[name] / a[name] for a, b in zip(bare_blocks, loop_blocks, strict=True)]
        print(
            f"{name}: bare {1e3 * statistics.median(b[name] for b in bare_blocks):.2f} ms/frame, "
            f"loop {1e3 * statistics.median(b[name] for b in loop_blocks):.2f}, "
            f"ratio {statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})"
        )
    bare_peak, loop_peak = (max(b["peak"] for b in x) for x in (bare_blocks, loop_blocks))
    print(
        f"peak resident: bare {bare_peak / 2**20:.1f} MiB, loop {loop_peak / 2**20:.1f} MiB, "
        f"ratio {loop_peak / bare_peak:.3f}"
    )


if __name__ == "__main__":
    main()
