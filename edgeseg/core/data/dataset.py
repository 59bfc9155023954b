"""The protocol of a data set: named samples of picture and labels, read one at a time."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from edgeseg.errors import DataError

SPLITS = ("train", "val", "test")


@dataclasses.dataclass(frozen=True)
class Sample:
    """One picture and, where there is truth, its labels. The arrays may be shared: copy to change.

    Attributes:
        name: unique in its data set; a file's name without its ending.
        rgb: the picture.
        labels: a class index per pixel, or the data set's ignore_index.
    """

    name: str
    rgb: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"] | None


@runtime_checkable
class Dataset(Protocol):
    """What every data set and every view of one offers; only `[index]` reads pictures."""

    @property
    def name(self) -> str:
        """What it was opened as, for messages and reports."""
        ...

    @property
    def names(self) -> Sequence[str]:
        """The samples' names, in order."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names in label order."""
        ...

    @property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """RGB 0-255 per class."""
        ...

    @property
    def ignore_index(self) -> int:
        """The label that no metric and no loss counts."""
        ...

    def __len__(self) -> int:
        """Return the number of samples."""
        ...

    def __getitem__(self, index: int) -> Sample:
        """Read sample `index`; IndexError past the end."""
        ...

    def fingerprint(self, indices: Sequence[int] | None = None) -> str:
        """Return a SHA-256 of the content: pictures, truth, classes and order.

        Equal content has equal fingerprints wherever it lies and whatever the files are called;
        anything that changes what a network learns or how it scores changes the fingerprint.
        edgeseg/core/data/fingerprint.py has the two usual ways to write this method.

        Args:
            indices: the samples meant; None for all of them, in order. Views ask for a part.
        """
        ...


def check_same_classes(main: Dataset, other: Dataset) -> None:
    """Check that two data sets may be trained on together: the same classes in the same order.

    Raises:
        DataError: they differ; it names the first place.
    """
    if main.class_names == other.class_names:
        return
    pairs = zip(main.class_names, other.class_names, strict=False)
    place = next(
        (i for i, (a, b) in enumerate(pairs) if a != b),
        min(len(main.class_names), len(other.class_names)),
    )
    there, here = (
        repr(names[place]) if place < len(names) else "nothing"
        for names in (other.class_names, main.class_names)
    )
    raise DataError(
        f"{other.name} cannot be mixed into {main.name}: its label {place} is {there}, not {here}; "
        f"give data of the same {len(main.class_names)} classes in the same order"
    )
