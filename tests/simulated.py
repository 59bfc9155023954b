"""A machine that is simulated down to its clock: noise, neighbours and slowdowns by seed."""

import functools
import itertools

import numpy as np
from stand_ins import ArgmaxBackend
from tinybundle import NAMES, PALETTE, expected_labels, random_frame

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.core.report import Accuracy, BundleId, Memory, Report
from edgeseg.core.stage_times import Percentiles
from edgeseg.runtime.bench.row import Entry
from edgeseg.runtime.bench.run import BenchOptions, bench

# A report of round figures, to change one figure of at a time.
MACHINE = {"system": "Linux", "cpu": "A", "cores": 2}
BACKEND = {"runtime": "onnxruntime 1.31", "device": "cpu", "precision": "int8+f32", "threads": 1}
PLAIN = Report(
    BundleId("m", "0", "int8"),
    MACHINE,
    "val",
    frames=90,
    dropped=10,
    reconnects=0,
    fps=30.0,
    latency_ms={
        "infer": Percentiles(10.0, 11.0, 12.0),
        "end_to_end": Percentiles(20.0, 22.0, 25.0),
    },
    memory=Memory("VmHWM", 100_000_000),
    frame_age_ms=Percentiles(20.0, 30.0, 40.0),
    accuracy=Accuracy(90, 0.9, 0.7, 0.62),
    backend=BACKEND,
)


class Machine:
    """Its clock moves only when a row runs.

    `noise` is how far the whole machine's speed wanders, and may start: 0.3 is 30 %. On top every
    single inference has a jitter of its own of a third of that.
    """

    def __init__(self, seed: int, noise: float = 0.3) -> None:
        self.now_ns = 0
        self._rng = np.random.default_rng(seed)
        self._noise = noise
        self._mood = self._rng.uniform(-noise, noise)

    def clock(self) -> int:
        return self.now_ns

    def pass_ms(self, ms: float) -> None:
        step = self._rng.normal(0, self._noise / 10)
        self._mood = float(np.clip(self._mood + step, -self._noise, self._noise))
        jitter = self._rng.normal(0, self._noise / 3)
        self.now_ns += int(1e6 * ms * max(0.2, 1 + self._mood + jitter))


class SimulatedBackend(ArgmaxBackend):
    """Takes `ms` of the machine's time; a share of its labels is wrong."""

    def __init__(self, machine: Machine, ms: float, *, wrong: float = 0.0) -> None:
        super().__init__()
        self._machine = machine
        self._ms = ms
        self._wrong = wrong

    def infer(self, frames: np.ndarray) -> np.ndarray:
        labels = super().infer(frames)
        rows = round(labels.shape[1] * self._wrong)
        labels[:, :rows] = (labels[:, :rows] + 1) % len(NAMES)
        self._machine.pass_ms(self._ms)
        return labels


class Frames:
    """Labelled frames from memory."""

    name = "frames"
    class_names = NAMES
    palette = PALETTE
    ignore_index = 255
    fingerprint = digest_of_samples

    def __init__(self, n: int = 7) -> None:
        self._n = n
        self.names = tuple(str(i) for i in range(n))

    def __len__(self):
        return self._n

    def __getitem__(self, index):
        if not 0 <= index < self._n:
            raise IndexError(index)
        return sample(index)


@functools.cache
def sample(index: int) -> Sample:
    """One frame with its truth."""
    rgb = random_frame(index)
    return Sample(str(index), rgb, expected_labels(rgb))


def run(bundle, seed: int, *, noise=0.3, slow=1.0, wrong=0.0, rounds=30, n=8):
    """One bench of a 10 ms row beside a 20 ms yardstick on a simulated machine."""
    machine = Machine(seed, noise)
    rows = {"yardstick": (20.0, 0.0), "model": (10.0 * slow, wrong)}
    entries = [
        Entry(
            name,
            bundle,
            "simulated",
            opener=lambda ms=ms, wrong=wrong: SimulatedBackend(machine, ms, wrong=wrong),
            reference=name == "yardstick",
        )
        for name, (ms, wrong) in rows.items()
    ]
    # No sensors: reading this machine's own would be most of the time.
    options = BenchOptions(rounds=rounds, clock=machine.clock, root=bundle.path)
    return bench(entries, Frames(n), options)


def seeds(n: int):
    return list(itertools.islice(itertools.count(1), n))
