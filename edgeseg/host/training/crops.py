"""TrainSet: the crops of an epoch, equal in every process of a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from edgeseg.core.data.dataset import Dataset
from edgeseg.errors import DataError
from edgeseg.host.models.label_net import MIN_STD, scaled
from edgeseg.host.training.augment import Augment, Crop, paste_classes, training_crop

Batch = tuple[torch.Tensor, torch.Tensor]


class TrainSet:
    """Crops of one main dataset and, mixed in, a number of frames of further ones.

    An epoch visits every sample of `main` once, and `round(share * len(main))` samples of each
    extra dataset, drawn anew each epoch. Every crop's random numbers depend on (seed, epoch,
    position) alone, so a resumed run sees what an uninterrupted one would have seen.
    """

    def __init__(
        self,
        main: Dataset,
        augment: Augment,
        *,
        seed: int,
        batch: int,
        extra: Sequence[tuple[Dataset, float]] = (),
    ) -> None:
        """Read every sample of `main` into memory (uint8).

        Raises:
            DataError: `main` is smaller than a batch, or a sample, or all of them, has no labels.
        """
        if len(main) < batch:
            raise DataError(f"{main.name} has {len(main)} samples, a batch needs {batch}")
        self.ignore_index = main.ignore_index
        self.augment = augment
        self.seed = seed
        self.batch = batch
        self._main = [_pair(main, index) for index in range(len(main))]
        if not any((labels != main.ignore_index).any() for _, labels in self._main):
            raise DataError(
                f"{main.name}: every pixel of its {len(main)} masks is void ({main.ignore_index}); "
                "training needs labels"
            )
        self._extra = list(extra)

    def steps_per_epoch(self) -> int:
        """Number of full batches of an epoch; what is left over is seen in another epoch."""
        count = len(self._main) + sum(round(s * len(self._main)) for _, s in self._extra)
        return count // self.batch

    def epoch(self, epoch: int, *, rank: int = 0, ranks: int = 1) -> Iterator[list[Crop]]:
        """Yield the batches of one epoch; `rank` of `ranks` gets its share of every batch."""
        rng = np.random.default_rng((self.seed, epoch))
        entries: list[tuple[int, int]] = [(-1, index) for index in range(len(self._main))]
        for number, (dataset, share) in enumerate(self._extra):
            picks = rng.integers(len(dataset), size=round(share * len(self._main)))
            entries += [(number, int(index)) for index in picks]
        order = rng.permutation(len(entries))
        for step in range(self.steps_per_epoch()):
            positions = order[step * self.batch : (step + 1) * self.batch]
            yield [self._crop(epoch, int(p), entries[p]) for p in positions[rank::ranks]]

    def _crop(self, epoch: int, position: int, entry: tuple[int, int]) -> Crop:
        number, index = entry
        rgb, labels = self._main[index] if number < 0 else _pair(self._extra[number][0], index)
        rng = np.random.default_rng((self.seed, epoch, position, 1))
        crop = training_crop(rgb, labels, self.augment, rng, ignore_index=self.ignore_index)
        if self.augment.classmix and rng.random() < self.augment.classmix:
            rgb, labels = self._main[int(rng.integers(len(self._main)))]
            donor = training_crop(rgb, labels, self.augment, rng, ignore_index=self.ignore_index)
            crop = paste_classes(crop, donor, rng, ignore_index=self.ignore_index)
        return crop


def _pair(dataset: Dataset, index: int) -> tuple[np.ndarray, np.ndarray]:
    sample = dataset[index]
    if sample.labels is None:
        raise DataError(f"{dataset.name}: {sample.name} has no labels; training needs them")
    return sample.rgb, sample.labels


def collate(
    crops: Sequence[Crop], *, normalize: str, mean: Sequence[float], std: Sequence[float]
) -> Batch:
    """Stack crops into a normalized float N,3,h,w and int64 labels N,h,w.

    Args:
        crops: crops of one size.
        normalize: "fixed" or "per_image", as in Preprocess.
        mean: per channel, 0-1, used when fixed.
        std: likewise.
    """
    images = scaled(torch.from_numpy(np.stack([crop.rgb for crop in crops])))
    labels = torch.from_numpy(np.stack([crop.labels for crop in crops])).long()
    if normalize == "per_image":
        centre = torch.from_numpy(np.stack([crop.mean for crop in crops])).float()
        spread = torch.from_numpy(np.stack([crop.std for crop in crops])).float() + MIN_STD
    else:
        centre, spread = torch.tensor([list(mean)]), torch.tensor([list(std)])
    return (images - centre[:, :, None, None]) / spread[:, :, None, None], labels
