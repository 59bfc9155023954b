"""How long a large data set takes to its first batch: `python tests/bench/bench_opening.py`.

Small pictures and masks of 0 and 255, the kind of which every mask must be read before the first
label is known. Each line is a process of its own: the second finds the census kept. Printed are
seconds from the start of the process to eight samples in memory, its CPU time, and its peak of
resident memory, for `--count` pictures and for a tenth of them.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SIZE_HW = (64, 64)
BATCH = 8


def write(root: Path, count: int) -> None:
    """Write images/, masks/ and classes.txt."""
    from edgeseg.core.images.io import write_png

    base = np.random.default_rng(0).integers(0, 256, (*SIZE_HW, 3), np.uint8)
    for number in range(count):
        shift = divmod(number, SIZE_HW[1])
        mask = np.zeros(SIZE_HW, np.uint8)
        mask[number % 40 :, 5:30] = 255
        write_png(root / "images" / f"{number:05d}.png", np.roll(base, shift, (0, 1)))
        write_png(root / "masks" / f"{number:05d}.png", mask)
    (root / "classes.txt").write_text("background\nobject\n")


def first_batch(root: str, kept: str) -> None:
    """Open the data as a training does, and read a batch."""
    start = time.perf_counter()
    from edgeseg.core.data.census import check_data
    from edgeseg.core.data.kept import keep_in
    from edgeseg.core.data.open import open_dataset

    keep_in(Path(kept))
    training, validation = (open_dataset(root, split) for split in ("train", "val"))
    check_data(training, validation)
    batch = [training[index] for index in range(BATCH)]
    took, peak = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    cpu = time.process_time()
    print(f"{took:6.1f} s, {cpu:5.1f} s of CPU, {peak / 1024:4.0f} MB, {len(batch)} samples")


def main() -> None:
    """Write the data, then open it twice at both sizes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--child", nargs=2, metavar=("ROOT", "KEPT"))
    options = parser.parse_args()
    if options.child:
        first_batch(*options.child)
        return
    with tempfile.TemporaryDirectory() as folder:
        for count in (options.count // 10, options.count):
            root = Path(folder) / str(count)
            write(root, count)
            for what in ("first", "again"):
                command = [sys.executable, __file__, "--child", str(root), f"{folder}/kept"]
                done = subprocess.run(command, check=True, capture_output=True, text=True)
                print(f"{count:6d} pictures, {what}: {done.stdout.strip()}", flush=True)


if __name__ == "__main__":
    main()
