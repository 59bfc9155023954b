"""Datasets: pairs of picture and labels, read one at a time, whatever folder they lie in."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.images.io import read_labels, read_rgb
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_IGNORE, CAMVID_PALETTE
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import DataError, UsageError

SPLITS = ("train", "val", "test")
# Each split of the synthetic data is another set of streets and days.
SPLIT_SEEDS = {"train": 0, "val": 1_000_000, "test": 2_000_000}
SPLIT_SIZES = {"train": 480, "val": 120, "test": 120}
DRIVES = 12
STRIDE = 5


@dataclasses.dataclass(frozen=True)
class Sample:
    """One picture and, where there is truth, its labels, both new or shared read-only.

    Attributes:
        name: unique in its dataset; a file's name without its ending.
        rgb: the picture.
        labels: a class index per pixel, or the dataset's ignore_index.
    """

    name: str
    rgb: UInt8[np.ndarray, "h w 3"]
    labels: UInt8[np.ndarray, "h w"] | None


@runtime_checkable
class Dataset(Protocol):
    """What every dataset offers; `names` costs no reading."""

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


@dataclasses.dataclass(frozen=True)
class PairFolder:
    """Pictures and masks on disk, paired by the one who built it.

    Attributes:
        name: for messages and reports.
        pairs: picture and mask files; the mask is None where there is no truth.
        class_names: names in label order.
        palette: RGB 0-255 per class.
        ignore_index: the label left out.
        mask_palette: the colours of colour masks, void's included where it has one; with it, 255
            counts as void too. None where masks can only hold labels.
    """

    name: str
    pairs: tuple[tuple[Path, Path | None], ...]
    class_names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    ignore_index: int
    mask_palette: tuple[tuple[int, int, int], ...] | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """File names without their endings."""
        return tuple(image.stem for image, _ in self.pairs)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read one pair.

        Raises:
            DataError: a file is missing or no image, the sizes differ, or a label is unknown.
        """
        image, mask = self.pairs[index]
        rgb = read_rgb(image)
        if mask is None:
            return Sample(image.stem, rgb, None)
        labels = read_labels(mask, self.mask_palette)
        if self.mask_palette is not None:
            labels[labels == 255] = self.ignore_index
        check_labels(mask, labels, rgb.shape[:2], len(self.class_names), self.ignore_index)
        return Sample(image.stem, rgb, labels)


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
            length = self._stride * math.ceil(self._n / len(self._seeds))
            self._drives[seed] = SyntheticDrive(self._size_hw, seed, length)
        rgb, labels = self._drives[seed].frame(frame)
        return Sample(f"{seed}_{frame:05d}", rgb, labels)

    def _place(self, index: int) -> tuple[int, int]:
        step, drive = divmod(index, len(self._seeds))
        return self._seeds[drive], step * self._stride


def open_dataset(
    data: str,
    split: str = "val",
    *,
    size_hw: tuple[int, int] | None = None,
    limit: int | None = None,
    seed: int = 0,
) -> Dataset:
    """Open labelled data by what the user calls it.

    Args:
        data: "synthetic", "synthetic:N" (N frames), or a folder: CamVid's layout, or `images/`,
            `masks/` and `classes.txt`.
        split: "train", "val" or "test".
        size_hw: size at which synthetic frames are painted; folders are read as they are.
        limit: keep at most this many samples, spread evenly over the split.
        seed: of the synthetic streets.

    Raises:
        UsageError: the split is unknown, or N or limit is not a positive number.
        DataError: the folder is missing, empty or in neither layout.
    """
    # here and not above: these build on this module
    from edgeseg.core.data.camvid import is_camvid, open_camvid
    from edgeseg.core.data.mask_folder import is_mask_folder, open_mask_folder
    from edgeseg.core.data.views import limited

    if split not in SPLITS:
        raise UsageError(f"split {split!r} is unknown; use one of {', '.join(SPLITS)}")
    if limit is not None and limit < 1:
        raise UsageError(f"limit is {limit}, expected a number of samples of at least 1")
    kind, colon, count = str(data).partition(":")
    root = Path(data)
    dataset: Dataset
    if kind == "synthetic" and not root.is_dir():
        if colon and not (count.isascii() and count.isdigit() and int(count) > 0):
            raise UsageError(f"{data!r}: expected synthetic or synthetic:N with N of at least 1")
        n = int(count) if colon else SPLIT_SIZES[split]
        dataset = SyntheticDataset(split, n, size_hw or (360, 480), seed)
    elif not root.exists():
        raise DataError(f"{data}: no such folder; expected a data folder or 'synthetic'")
    elif not root.is_dir():
        raise DataError(f"{data}: a file; expected a data folder or 'synthetic'")
    elif is_mask_folder(root):
        dataset = open_mask_folder(root, split)
    elif is_camvid(root):
        dataset = open_camvid(root, split)
    else:
        raise DataError(
            f"{data}: neither CamVid's layout ({split}/ and {split}annot/) nor images/, masks/ "
            "and classes.txt was found there"
        )
    return limited(dataset, limit)


def check_same_classes(main: Dataset, other: Dataset) -> None:
    """Check that two datasets may be trained on together: the same classes in the same order.

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


def check_labels(
    path: Path,
    labels: UInt8[np.ndarray, "h w"],
    size_hw: tuple[int, int],
    n_classes: int,
    ignore_index: int,
) -> None:
    """Check a mask against its picture and classes.

    Raises:
        DataError: another size, or labels that are neither a class nor ignored; it lists them.
    """
    if labels.shape != tuple(size_hw):
        raise DataError(
            f"{path}: the mask is {labels.shape[0]}x{labels.shape[1]}, its image is "
            f"{size_hw[0]}x{size_hw[1]} (height x width); they must be the same"
        )
    counts = np.bincount(labels.ravel(), minlength=256)
    counts[:n_classes] = 0
    counts[ignore_index] = 0
    unknown = np.flatnonzero(counts).tolist()
    if unknown:
        shown = ", ".join(map(str, unknown[:8])) + (", ..." if len(unknown) > 8 else "")
        raise DataError(
            f"{path}: unknown labels {shown}; expected 0-{n_classes - 1} or {ignore_index} (void)"
        )
