"""Views of a data set: some samples, another label for ignored pixels, a network's own size."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

from edgeseg.core.data.dataset import Dataset, Sample
from edgeseg.core.data.fingerprint import digest_of
from edgeseg.core.data.sampling import spread_indices
from edgeseg.core.images.fit import fit_rgb
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import UsageError


class _View:
    """What every view has from its base."""

    base: Dataset

    @property
    def class_names(self) -> tuple[str, ...]:
        """Those of the base."""
        return self.base.class_names

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """Those of the base."""
        return self.base.palette


@dataclasses.dataclass(frozen=True)
class Subset(_View):
    """Chosen samples of another dataset, in the order given."""

    base: Dataset
    indices: tuple[int, ...]
    name: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the chosen samples."""
        names = self.base.names
        return tuple(names[i] for i in self.indices)

    @property
    def ignore_index(self) -> int:
        """That of the base."""
        return self.base.ignore_index

    def __len__(self) -> int:
        """Return the number of chosen samples."""
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        """Read a chosen sample from the base."""
        return self.base[self.indices[index]]

    def fingerprint(self, indices: Sequence[int] | None = None) -> str:
        """Return what the base gives for the chosen samples."""
        if indices is None:
            return self.base.fingerprint(self.indices)
        return self.base.fingerprint([self.indices[index] for index in indices])


class _Whole(_View):
    """What a view of every sample has from its base."""

    @property
    def name(self) -> str:
        """Return the base's name: it is the same data."""
        return self.base.name

    @property
    def names(self) -> Sequence[str]:
        """Return the base's names."""
        return self.base.names

    def __len__(self) -> int:
        """Return the number of samples."""
        return len(self.base)


@dataclasses.dataclass(frozen=True)
class Revoided(_Whole):
    """A data set whose ignored pixels have another label.

    Attributes:
        base: the data set.
        ignore_index: the label that its ignored pixels get.
    """

    base: Dataset
    ignore_index: int

    def __getitem__(self, index: int) -> Sample:
        """Return a sample with its ignored pixels relabelled."""
        sample = self.base[index]
        if sample.labels is None:
            return sample
        void = np.uint8(self.ignore_index)
        labels = np.where(sample.labels == self.base.ignore_index, void, sample.labels)
        return dataclasses.replace(sample, labels=labels)

    def fingerprint(self, indices: Sequence[int] | None = None) -> str:
        """Return the base's: which number ignored pixels have changes neither loss nor score."""
        return self.base.fingerprint(indices)


@dataclasses.dataclass(frozen=True)
class Fitted(_Whole):
    """A data set as a network on a device sees it: every frame at the size of its input.

    Attributes:
        base: the data set.
        spec: whose size and resize rule.
    """

    base: Dataset
    spec: ModelSpec

    @property
    def ignore_index(self) -> int:
        """That of the base; what is around a picture has it too."""
        return self.base.ignore_index

    def __getitem__(self, index: int) -> Sample:
        """Return a sample with picture and labels on the network's canvas.

        Raises:
            DataError: the network takes pictures of its own size alone.
        """
        sample = self.base[index]
        rgb, placement = fit_rgb(sample.rgb, self.spec.size_hw, self.spec.preprocess.resize)
        if sample.labels is None or sample.rgb.shape[:2] == self.spec.size_hw:
            return dataclasses.replace(sample, rgb=rgb)
        labels = placement.place_labels(sample.labels, self.base.ignore_index)
        return dataclasses.replace(sample, rgb=rgb, labels=labels)

    def fingerprint(self, indices: Sequence[int] | None = None) -> str:
        """Hash the base's fingerprint with the size and the resize rule."""
        fitted = {"size_hw": self.spec.size_hw, "resize": self.spec.preprocess.resize}
        return digest_of(fitted, [self.base.fingerprint(indices)])


def limited(dataset: Dataset, limit: int | None) -> Dataset:
    """Return at most `limit` samples, spread evenly; all of them for None."""
    if limit is None or limit >= len(dataset):
        return dataset
    spread = tuple(spread_indices(len(dataset), limit))
    return Subset(dataset, spread, f"{dataset.name}, {limit} of {len(dataset)}")


def filter_names(dataset: Dataset, keep: Callable[[str], bool]) -> Subset:
    """Return the samples whose name `keep` accepts, without reading any."""
    indices = tuple(i for i, name in enumerate(dataset.names) if keep(name))
    return Subset(dataset, indices, f"{dataset.name}, {len(indices)} of {len(dataset)}")


def with_ignored(dataset: Dataset, ignore_index: int) -> Dataset:
    """Return `dataset` with `ignore_index` as the label of its ignored pixels."""
    return dataset if dataset.ignore_index == ignore_index else Revoided(dataset, ignore_index)


def drive_of(name: str) -> str:
    """Return the drive a frame belongs to: `0001TP_006690` is of drive `0001TP`."""
    return name.split("_", 1)[0]


def hold_out(dataset: Dataset, drive: str) -> tuple[Subset, Subset]:
    """Split off one drive: the rest, and the drive held out.

    Raises:
        UsageError: the dataset has no such drive, or no other.
    """
    held = filter_names(dataset, lambda name: drive_of(name) == drive)
    rest = filter_names(dataset, lambda name: drive_of(name) != drive)
    if not len(held) or not len(rest):
        drives = sorted({drive_of(name) for name in dataset.names})
        raise UsageError(
            f"drive {drive!r} cannot be held out of {dataset.name}; its drives: {', '.join(drives)}"
        )
    return rest, held
