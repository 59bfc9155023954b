"""What delay costs: `python tests/bench/bench_streaming_miou.py BUNDLE IMAGES MASKS [MS…]`.

Labels every image once, then replays the folder at 15 FPS through the camera loop with a stand-in
that gives those labels after each of the delays (default 20, 60, 150 and 400 ms). So the network
and its labels are real, and how busy this machine is does not matter. On a machine that is fast
enough `edgeseg stream BUNDLE IMAGES --labels MASKS --pace 15 --hold MS` measures the same.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.zoo import find_bundle
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.single_slot import Outcome
from edgeseg.runtime.sources.open import open_source
from edgeseg.runtime.streaming.loop import Loop

PACE_FPS = 15.0


class Remembered(Backend):
    """Gives the labels that the network gave, after a fixed time."""

    def __init__(self, io, labels, delay_s: float) -> None:
        self.io = io
        self._labels = labels
        self._delay_s = delay_s

    def infer(self, frames):
        end = time.perf_counter() + self._delay_s
        # The warm-up's grey frame is not among them.
        found = self._labels.get(frames.tobytes(), next(iter(self._labels.values())))
        time.sleep(max(0.0, end - time.perf_counter()))
        return found

    def close(self) -> None:
        pass


def main() -> None:
    """Label, replay and print one line per delay."""
    bundle = find_bundle(sys.argv[1])
    images, masks = sys.argv[2], Path(sys.argv[3])
    delays = [float(text) for text in sys.argv[4:]] or [20.0, 60.0, 150.0, 400.0]
    spec = bundle.spec
    labels = {}
    with (
        open_backend("onnxruntime", bundle, threads=1) as backend,
        open_source(images, spec) as source,
    ):
        while not isinstance(found := source.read(1.0), Outcome):
            fitted, _ = fit_rgb(found.rgb, spec.size_hw, spec.preprocess.resize)
            labels[fitted[None].tobytes()] = backend.infer(fitted[None]).copy()
    for delay in delays:
        stand_in = Remembered(backend.io, labels, delay / 1e3)
        with open_source(images, spec, labels=masks, pace_fps=PACE_FPS) as source:
            report = Loop(stand_in, bundle, source).run().report
        accuracy, age = report.accuracy, report.frame_age_ms
        print(
            f"{delay:5.0f} ms: {report.frames} frames, {report.dropped} dropped, age p50 "
            f"{age.p50:.0f} ms, mIoU {accuracy.miou:.4f}, streaming mIoU "
            f"{accuracy.streaming_miou:.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
