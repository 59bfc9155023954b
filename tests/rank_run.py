"""One rank of a training on coloured blobs; `python rank_run.py FOLDER`, ranks by environment."""

import os
import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of_samples
from edgeseg.core.spec import ModelSpec
from edgeseg.host.models import build_model
from edgeseg.host.training.augment import Augment
from edgeseg.host.training.distributed import Ranks
from edgeseg.host.training.options import TrainOptions
from edgeseg.host.training.train import train

SPEC = ModelSpec(
    "segnet-basic",
    class_names=("dark", "bright"),
    palette=((0, 0, 0), (255, 255, 255)),
    ignore_index=2,
    size_hw=(48, 64),
    options={"channels": 8, "kernel": 3},
)
# Plain SGD: Adam divides by the gradient's size and would blow rounding up where it is near zero.
OPTIONS = TrainOptions(
    epochs=2,
    batch=3,
    optimizer="sgd",
    lr=0.05,
    validate_every=1,
    ema=0.8,
    bf16=False,
    augment=Augment(crop_hw=(32, 48), photometry="mild", scale=(0.8, 1.2)),
)


class Blobs:
    """Bright rectangles on a dark ground, with void lines, more of them the later the image."""

    class_names, palette, ignore_index = SPEC.class_names, SPEC.palette, 2
    fingerprint = digest_of_samples

    def __init__(self, count: int, seed: int = 0) -> None:
        self.count, self.seed, self.name = count, seed, f"blobs-{count}-{seed}"
        self.names = tuple(map(str, range(count)))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        rng = np.random.default_rng((self.seed, index))
        labels = np.zeros((48, 64), np.uint8)
        top, left = rng.integers(0, 24), rng.integers(0, 32)
        labels[top : top + 20, left : left + 28] = 1
        rgb = labels[..., None] * 120 + rng.integers(20, 80, (48, 64, 3))
        labels[: 3 * index] = 2
        return Sample(str(index), rgb.astype(np.uint8), labels)


def run(folder: Path, ranks: Ranks) -> None:
    """Two epochs, killed after the first and resumed."""
    for stop in (1, None):
        torch.manual_seed(3 + ranks.rank)  # DistributedDataParallel gives every rank rank 0's start
        train(
            SPEC,
            build_model(SPEC),
            Blobs(9),
            OPTIONS,
            folder,
            validation=Blobs(5, 9),
            resume=stop is None,
            stop_after=stop,
            ranks=ranks,
        )


if __name__ == "__main__":
    dist.init_process_group("gloo")
    run(Path(sys.argv[1]), Ranks(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])))
    dist.destroy_process_group()
