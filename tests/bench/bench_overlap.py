"""What overlapping is worth: `python tests/bench/bench_overlap.py`.

The camera loop against the same work one after the other: decode a PNG of a 480x640 drive, fit it
to a 240x320 network, infer, put the labels back, encode the picture with its labels as JPEG.
Inference is a device that the CPU waits for, as a board's GPU is: a sleep of `--device-ms`, by
default as long as decoding and encoding take together on this machine. With `--backend NAME
--bundle B` a real network runs instead; then the CPU needs a core for each stage.
Loop and sequence take turns block by block; printed is the ratio of their times, the median and
its range over the blocks. Target: 1.3 or more.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from tinybundle import tiny_bundle

from edgeseg.core.bundle import read_bundle
from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.images.io import read_rgb, write_png
from edgeseg.core.images.paint import overlay
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.base import Backend, BackendIo
from edgeseg.runtime.sinks.base import Prediction, Sink
from edgeseg.runtime.sources.open import open_source
from edgeseg.runtime.streaming.loop import Loop, LoopOptions

FRAME_HW, NET_HW = (480, 640), (240, 320)


class Device(Backend):
    """A device that works on its own for some time."""

    def __init__(self, sleep_s: float) -> None:
        self.io = BackendIo("device", "device", "f32", None, (1, *NET_HW, 3))
        self._sleep_s = sleep_s
        self._labels = np.zeros((1, *NET_HW), np.uint8)

    def infer(self, frames):
        time.sleep(self._sleep_s)
        return self._labels

    def close(self) -> None:
        pass


class Encoder(Sink):
    """Encodes the picture with its labels."""

    uri = "jpeg"

    def __init__(self, palette) -> None:
        self._palette = palette

    def write(self, prediction: Prediction) -> None:
        shown = overlay(prediction.frame.rgb, prediction.labels, self._palette)
        cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 90])

    def close(self) -> None:
        pass


def sequence(backend, bundle, paths, encoder) -> None:
    """One frame after the other."""
    spec = bundle.spec
    for path in paths:
        rgb = read_rgb(path)
        fitted, placement = fit_rgb(rgb, spec.size_hw, spec.preprocess.resize)
        labels = placement.invert_labels(backend.infer(fitted[None])[0])
        encoder(rgb, labels)


def main() -> None:
    """Take turns and print the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device-ms", type=float, default=None)
    parser.add_argument("--backend")
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--frames", type=int, default=25)
    parser.add_argument("--rounds", type=int, default=8)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        root = Path(folder)
        drive = SyntheticDrive(FRAME_HW, seed=1, n=options.frames)
        for i in range(options.frames):
            write_png(root / "in" / f"{i:03d}.png", drive.frame(i)[0])
        paths = sorted((root / "in").iterdir())
        if options.bundle is None:
            bundle = tiny_bundle(root / "tiny", size_hw=NET_HW)
        else:
            bundle = read_bundle(options.bundle)
        sink = Encoder(bundle.spec.palette)

        def encode(rgb, labels) -> None:
            shown = overlay(rgb, labels, bundle.spec.palette)
            cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, 90])

        begin = time.perf_counter()
        for path in paths:
            rgb = read_rgb(path)
            encode(rgb, np.zeros(rgb.shape[:2], np.uint8))
        cpu_s = (time.perf_counter() - begin) / len(paths)
        if options.backend is not None:
            backend = stack.enter_context(open_backend(options.backend, bundle, threads=1))
        else:
            backend = Device(cpu_s if options.device_ms is None else options.device_ms / 1e3)
        ratios = []
        for _ in range(options.rounds):
            begin = time.perf_counter()
            sequence(backend, bundle, paths, encode)
            one_by_one = time.perf_counter() - begin
            begin = time.perf_counter()
            with open_source(str(root / "in"), bundle.spec) as source:
                loop = Loop(backend, bundle, source, [sink], LoopOptions(warmup=0))
                result = loop.run()
            if result.error is not None:
                raise result.error
            ratios.append(one_by_one / (time.perf_counter() - begin))
    print(
        f"decode and encode {1e3 * cpu_s:.1f} ms a frame; sequential / loop "
        f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    )


if __name__ == "__main__":
    main()
