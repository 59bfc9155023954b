"""A data set that costs nothing to draw: bright rectangles on a dark ground."""

import numpy as np

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.core.spec import ModelSpec

SIZE_HW = (48, 64)
SPEC = ModelSpec(
    "segnet-basic",
    class_names=("dark", "bright"),
    palette=((0, 0, 0), (255, 255, 255)),
    ignore_index=2,
    size_hw=SIZE_HW,
    options={"channels": 16, "kernel": 3},
)


class Blobs:
    """Frames of noise with one brighter rectangle; which is which is the label."""

    class_names, palette, ignore_index = SPEC.class_names, SPEC.palette, SPEC.ignore_index
    fingerprint = digest_of_samples

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count, self.seed = count, seed
        self.name = f"blobs-{count}-{seed}"
        self.names = [f"blob_{index}" for index in range(count)]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index))
        labels = np.zeros(SIZE_HW, np.uint8)
        top, left = rng.integers(0, 24), rng.integers(0, 32)
        labels[top : top + 24, left : left + 32] = 1
        rgb = labels[..., None] * 120 + rng.integers(0, 100, (*SIZE_HW, 3))
        return Sample(self.names[index], rgb.astype(np.uint8), labels)
