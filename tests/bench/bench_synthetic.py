"""Frames per second of the synthetic drive on one core: `python tests/bench/bench_synthetic.py`.

CPU time, not wall time, so that a neighbour on the same core counts less; the median of blocks of
20 frames over several seeds, and the slowest seed.
"""

from __future__ import annotations

import statistics
import sys
import time

import cv2

from edgeseg.core.synthetic.drive import SyntheticDrive

BLOCK = 20


def main() -> None:
    """Print one line per seed, then the median and the slowest."""
    size = (int(sys.argv[1]), int(sys.argv[2])) if len(sys.argv) == 3 else (360, 480)
    cv2.setNumThreads(1)
    medians = []
    for seed in range(6):
        drive = SyntheticDrive(size, seed, 1000)
        drive.frame(0)
        rates = []
        for start in range(0, 1000, 100):
            before = time.process_time()
            for i in range(start, start + BLOCK):
                drive.frame(i)
            rates.append(BLOCK / (time.process_time() - before))
        medians.append(statistics.median(rates))
        print(
            f"seed {seed}: {medians[-1]:6.1f} frames/s (blocks {min(rates):.1f}-{max(rates):.1f})"
        )
    print(f"median {statistics.median(medians):.1f}, slowest seed {min(medians):.1f} at {size}")


if __name__ == "__main__":
    main()
