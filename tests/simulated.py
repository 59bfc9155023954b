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
    single inference has a jitter of its own of a third of that. `spikes` is the share of inferences
    that take ten times as long. With `bursts` a neighbour works for about a second out of three,
    and everything takes so many times as long meanwhile.
    """

    def __init__(
        self, seed: int, noise: float = 0.3, *, spikes: float = 0.0, bursts: float = 1.0
    ) -> None:
        self.now_ns = 0
        self._rng = np.random.default_rng(seed)
        self._noise = noise
        self._mood = self._rng.uniform(-noise, noise)
        self._spikes = spikes
        self._bursts = bursts
        self._busy = bool(self._rng.random() < 1 / 3)
        self._until_ns = self._stretch_ns()

    def clock(self) -> int:
        return self.now_ns

    def pass_ms(self, ms: float) -> None:
        step = self._rng.normal(0, self._noise / 10)
        self._mood = float(np.clip(self._mood + step, -self._noise, self._noise))
        jitter = self._rng.normal(0, self._noise / 3)
        factor = max(0.2, 1 + self._mood + jitter)
        if self._spikes and self._rng.random() < self._spikes:
            factor *= 10
        self._spend(1e6 * ms * factor)

    def _spend(self, work_ns: float) -> None:
        """Let time pass until the work is done, slower while the neighbour works."""
        if self._bursts == 1:
            self.now_ns += int(work_ns)
            return
        while work_ns > 0:
            factor = self._bursts if self._busy else 1.0
            done = min(work_ns, (self._until_ns - self.now_ns) / factor)
            self.now_ns += max(1, int(done * factor))
            work_ns -= done
            if self.now_ns >= self._until_ns:
                self._busy = not self._busy
                self._until_ns = self.now_ns + self._stretch_ns()

    def _stretch_ns(self) -> int:
        return 1 + int(self._rng.exponential(1e9 if self._busy else 2e9))


class SimulatedBackend(ArgmaxBackend):
    """Takes `ms` of the machine's time; a share of its labels is wrong."""

    def __init__(self, machine: Machine, ms: float, *, wrong: float = 0.0) -> None:
        super().__init__()
        self._machine = machine
        self._ms = ms
        self._wrong = wrong

    def infer(self, frames: np.ndarray) -> np.ndarray:
        labels = super().infer(frames)
        # The same pixels of each frame, from the top.
        top = labels.reshape(len(labels), -1)[:, : round(labels[0].size * self._wrong)]
        top[:] = (top + 1) % len(NAMES)
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


def run(
    bundle, seed: int, *, noise=0.3, spikes=0.0, bursts=1.0, slow=1.0, wrong=0.0, rounds=30,
    most_rounds=0, n=8,
):  # fmt: skip
    """One bench of a 10 ms row beside a 20 ms yardstick on a simulated machine."""
    machine = Machine(seed, noise, spikes=spikes, bursts=bursts)
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
    options = BenchOptions(
        rounds=rounds, most_rounds=most_rounds, openings=1, clock=machine.clock, root=bundle.path
    )
    return bench(entries, Frames(n), options)


def seeds(n: int):
    return list(itertools.islice(itertools.count(1), n))
