"""Pictures and masks as files in folders: a data set of pairs, and how the files are paired."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of
from edgeseg.core.files import sha256_file
from edgeseg.core.images.io import read_labels, read_rgb
from edgeseg.core.images.names import images_in
from edgeseg.errors import DataError


@dataclasses.dataclass(frozen=True)
class PairFolder:
    """Pictures and masks on disk, paired by the caller.

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

    def fingerprint(self, indices: Sequence[int] | None = None) -> str:
        """Hash the files as they are, and what decides how masks are read."""
        reading = {
            "class_names": list(self.class_names),
            "ignore_index": self.ignore_index,
            "mask_palette": self.mask_palette,
        }
        pairs = self.pairs if indices is None else [self.pairs[index] for index in indices]
        return digest_of(
            reading,
            (
                f"{sha256_file(image)} {sha256_file(mask) if mask else None}"
                for image, mask in pairs
            ),
        )


def pair_by_stem(images: Path | Sequence[Path], masks: Path) -> list[tuple[Path, Path | None]]:
    """Pair every image with the mask of the same name, whatever its ending.

    Args:
        images: a folder, or files from anywhere.
        masks: a folder.

    Raises:
        DataError: images have no mask (it names the first and counts the others), or two images or
            two masks have one name.
    """
    listed = images_in(images) if isinstance(images, Path) else images
    by_stem, found = _by_stem(images_in(masks)), _by_stem(listed).values()
    lacking = [path for path in found if path.stem not in by_stem]
    if lacking:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise DataError(
            f"{lacking[0]}: no mask of that name in {masks}{more}; every image needs one"
        )
    return [(path, by_stem[path.stem]) for path in found]


def _by_stem(paths: Sequence[Path]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in paths:
        other = found.setdefault(path.stem, path)
        if other != path:
            raise DataError(
                f"{other} and {path} have one name, by which images and masks are paired; "
                "rename one, or give one folder at a time"
            )
    return found


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
