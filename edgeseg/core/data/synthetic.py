"""The synthetic data set: frames of painted drives, split into streets for train, val and test."""

from __future__ import annotations

import math
from collections.abc import Sequence

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of, digest_of_samples
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_IGNORE, CAMVID_PALETTE
from edgeseg.core.synthetic.drive import SyntheticDrive

# Each split of the synthetic data is another set of streets and days.
SPLIT_SEEDS = {"train": 0, "val": 1_000_000, "test": 2_000_000}
SPLIT_SIZES = {"train": 480, "val": 120, "test": 120}
DRIVES = 12
STRIDE = 5


class SyntheticDataset:
    """Frames of the synthetic drive.

    "train" mixes 12 streets, each in its own light, frames 5 apart; "val" and "test" are one
    contiguous drive each, on streets that "train" never shows.
    """

    class_names = CAMVID_CLASSES
    palette = CAMVID_PALETTE
    ignore_index = CAMVID_IGNORE

    def __init__(self, split: str, n: int, size_hw: tuple[int, int], seed: int) -> None:
        """Fix the streets; each is built on first use."""
        self.name = f"synthetic:{n} ({split}, seed {seed})"
        self._n, self._size_hw = n, size_hw
        count = DRIVES if split == "train" else 1
        first = SPLIT_SEEDS[split] + seed * DRIVES
        self._seeds = tuple(range(first, first + count))
        self._stride = STRIDE if split == "train" else 1
        self._frames_per_drive = self._stride * math.ceil(n / count)
        self._drives: dict[int, SyntheticDrive] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """`DRIVE_FRAME`, as CamVid's names are."""
        return tuple("{}_{:05d}".format(*self._place(i)) for i in range(self._n))

    def __len__(self) -> int:
        """Return the number of frames."""
        return self._n

    def __getitem__(self, index: int) -> Sample:
        """Paint frame `index`."""
        if not -self._n <= index < self._n:
            raise IndexError(f"sample {index} of {self._n}")
        seed, frame = self._place(index % self._n)
        if seed not in self._drives:
            self._drives[seed] = SyntheticDrive(self._size_hw, seed, self._frames_per_drive)
        rgb, labels = self._drives[seed].frame(frame)
        return Sample(f"{seed}_{frame:05d}", rgb, labels)

    def fingerprint(self, indices: Sequence[int] | None = None) -> str:
        """Hash what decides the frames, and the pixels of the first one.

        The first frame's pixels tell two versions of the painter apart; painting them all would
        take minutes.
        """
        wanted = range(self._n) if indices is None else indices
        reading = {
            "class_names": list(self.class_names),
            "ignore_index": self.ignore_index,
            "size_hw": self._size_hw,
            "frames_per_drive": self._frames_per_drive,
            "first": digest_of_samples(self, wanted[:1]),
        }
        return digest_of(reading, (str(self._place(index)) for index in wanted))

    def _place(self, index: int) -> tuple[int, int]:
        step, drive = divmod(index, len(self._seeds))
        return self._seeds[drive], step * self._stride
