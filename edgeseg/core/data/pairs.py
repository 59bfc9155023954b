"""Pictures and masks as files in folders: a data set of pairs, and how the files are paired."""

from __future__ import annotations

import collections
import dataclasses
import functools
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.data.classes import Classes
from edgeseg.core.data.dataset import Sample
from edgeseg.core.data.fingerprint import digest_of
from edgeseg.core.data.masks import Colour, Mask, MaskRule, read_mask
from edgeseg.core.files import sha256_file
from edgeseg.core.images.io import orientation_of, read_rgb
from edgeseg.core.images.names import image_texts_below, names_meant, stem_of
from edgeseg.errors import DataError

Pair = tuple[Path, Path | None]


@dataclasses.dataclass(frozen=True)
class PairFolder:
    """Pictures and masks on disk, paired by the caller.

    A format whose labels are no mask files (polygons, run lengths) subclasses it: `labels_at`
    draws the labels, and the second file of each pair is the one that holds them.

    Attributes:
        name: for messages and reports.
        pairs: picture and mask files; the mask is None where there is no truth.
        class_names: names in label order.
        palette: RGB 0-255 per class.
        ignore_index: the label left out.
        rule: how mask files become labels; None where they hold the labels themselves.
        blank: the label of every pixel of a picture without a mask; None leaves it without truth.
        full_scale: what 255 is in pictures of 16 bits; None decides it for each picture.
        explained: a file says what the masks' values are, so that nothing is guessed.
        notes: what a user must know of how the files are read; one sentence each.
    """

    name: str
    pairs: tuple[Pair, ...]
    class_names: tuple[str, ...]
    palette: tuple[Colour, ...]
    ignore_index: int
    rule: MaskRule | None = None
    blank: int | None = None
    full_scale: int | None = None
    explained: bool = False
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, name: str, pairs: Sequence[Pair], classes: Classes) -> PairFolder:
        """Return the data set of some pairs whose masks are read by `classes`."""
        return cls(
            name,
            tuple(pairs),
            classes.names,
            classes.palette,
            classes.ignore_index,
            classes.rule(),
            explained=classes.explained,
        )

    @functools.cached_property
    def names(self) -> tuple[str, ...]:
        """File names without their endings; with their folders where two would be the same."""
        stems = tuple(stem_of(image) for image, _ in self.pairs)
        if len(set(stems)) == len(stems):
            return stems
        images = [image for image, _ in self.pairs]
        above = Path(os.path.commonpath([image.parent for image in images]))
        return tuple(
            "_".join((*image.relative_to(above).parent.parts, stem))
            for image, stem in zip(images, stems, strict=True)
        )

    @property
    def mask_rule(self) -> MaskRule:
        """The rule, that of masks which hold labels where none is given."""
        return self.rule or MaskRule(len(self.class_names), self.ignore_index)

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self.pairs)

    def __getitem__(self, index: int) -> Sample:
        """Read one pair.

        Raises:
            DataError: a file is missing or no image, the sizes differ, or a label is unknown.
        """
        rgb = self.picture_at(index)
        mask = self.labels_at(index, (rgb.shape[0], rgb.shape[1]))
        return Sample(self.names[index], rgb, None if mask is None else mask.labels)

    def picture_at(self, index: int) -> UInt8[np.ndarray, "h w 3"]:
        """Read one picture.

        Raises:
            DataError: the file is missing or no image.
        """
        return read_rgb(self.pairs[index][0], self.full_scale)

    def labels_at(self, index: int, size_hw: tuple[int, int]) -> Mask | None:
        """Read the labels of one picture; None where there is no truth.

        Args:
            index: of the pair.
            size_hw: of the picture.

        Raises:
            DataError: a file is missing or no image, the sizes differ, or a label is unknown.
        """
        image, path = self.pairs[index]
        if path is None:
            if self.blank is None:
                return None
            return Mask(np.full(size_hw, self.blank, np.uint8))
        mask = read_mask(path, self.mask_rule)
        check_size(path, mask.labels.shape, size_hw, image)
        return mask

    def files_at(self, index: int) -> tuple[Path, ...]:
        """Return the files that decide sample `index`, the picture first."""
        return tuple(path for path in self.pairs[index] if path is not None)

    def reading(self) -> dict[str, object]:
        """Return what decides the samples besides the files, as JSON values."""
        facts: dict[str, object] = {
            "class_names": list(self.class_names),
            "ignore_index": self.ignore_index,
            "rule": dataclasses.asdict(self.mask_rule),
        }
        for key in ("blank", "full_scale"):
            value = getattr(self, key)
            if value is not None:
                facts[key] = value
        return facts

    def fingerprint(self, indices: Sequence[int] | None = None) -> str:
        """Hash the files as they are, and what decides how masks are read."""
        wanted = range(len(self)) if indices is None else indices
        return digest_of(
            self.reading(),
            (" ".join(sha256_file(path) for path in self.files_at(index)) for index in wanted),
        )


def pair_files(
    images: Path | Sequence[Path], masks: Path | Sequence[Path]
) -> list[tuple[Path, Path | None]]:
    """Pair every image with its mask: None where it has none.

    A mask has the image's name, whatever its ending and with what tools append to it (`_mask`,
    `_L`, `_gtFine_labelIds`). In folders in folders, a mask in the same place goes before one of
    the same name elsewhere.

    Args:
        images: a folder, or files from anywhere.
        masks: a folder, or files from anywhere.

    Raises:
        DataError: two images or two masks have one name.
    """
    roots = [where if isinstance(where, Path) else None for where in (images, masks)]
    listed, found = (
        tuple(image_texts_below(where) if isinstance(where, Path) else map(str, where))
        for where in (images, masks)
    )
    return list(_paired(listed, found, *(str(root) if root else None for root in roots)))


# Every split of one folder pairs the same files.
@functools.lru_cache(maxsize=8)
def _paired(
    images: tuple[str, ...], masks: tuple[str, ...], image_root: str | None, mask_root: str | None
) -> tuple[Pair, ...]:
    listed, found = ([Path(text) for text in texts] for texts in (images, masks))
    _check_one_name(listed, by_folder=image_root is not None)
    _check_one_name(found, by_folder=mask_root is not None)
    at_place: dict[tuple[str, str], Path] = {}
    anywhere: dict[str, list[Path]] = {}
    meant = [names_meant(stem_of(path), mask=True) for path in found]
    places = [_place(text, mask_root) for text in masks]
    # A mask's own name goes before what is left of another's without its suffix.
    for rank in range(max(map(len, meant), default=0)):
        for path, place, names in zip(found, places, meant, strict=True):
            if rank < len(names):
                at_place.setdefault((place, names[rank]), path)
                anywhere.setdefault(names[rank], []).append(path)
    stems = [stem_of(path) for path in listed]
    times = collections.Counter(stems)
    pairs: list[Pair] = []
    for image, text, stem in zip(listed, images, stems, strict=True):
        place, mask = _place(text, image_root), None
        for name in names_meant(stem, mask=False):
            mask = at_place.get((place, name))
            others = anywhere.get(name, [])
            if mask is None and others and times[stem] == 1:
                mask = others[0] if len({other.parent for other in others}) == 1 else None
            if mask is not None:
                break
        pairs.append((image, mask))
    return tuple(pairs)


def pair_by_stem(
    images: Path | Sequence[Path], masks: Path | Sequence[Path]
) -> list[tuple[Path, Path | None]]:
    """Pair every image with its mask, as `pair_files` does, and demand one for each.

    Raises:
        DataError: images have no mask (it names the first and counts the others), or two images or
            two masks have one name.
    """
    pairs = pair_files(images, masks)
    lacking = [image for image, mask in pairs if mask is None]
    if lacking:
        where = masks if isinstance(masks, Path) else "the masks"
        raise DataError(missing_masks(lacking, len(pairs), str(where)))
    return pairs


def missing_masks(lacking: Sequence[Path], total: int, where: str) -> str:
    """Return what is said of pictures without a mask.

    Args:
        lacking: the pictures.
        total: how many pictures there are.
        where: masks were looked for here.
    """
    return (
        f"{lacking[0]}: no mask of that name in {where}; {len(lacking)} of {total} pictures have "
        "none; leave them out with --unlabelled skip, or take them as all background (the class of "
        "label 0) with --unlabelled background"
    )


def _place(text: str, root: str | None) -> str:
    """Return the folder of a path below `root`; "" for a file that was listed by itself."""
    return text[len(root) :].rpartition(os.sep)[0] if root else ""


def _check_one_name(paths: Sequence[Path], *, by_folder: bool) -> None:
    """Refuse two files, of one folder or at all, whose names differ in their ending alone."""
    found: dict[str, Path] = {}
    for path in paths:
        name = stem_of(path)
        other = found.setdefault(f"{path.parent}{os.sep}{name}" if by_folder else name, path)
        if other is not path and other != path:
            raise DataError(
                f"{other} and {path} have one name, by which images and masks are paired; "
                "rename one, or give one folder at a time"
            )


def check_size(
    path: Path,
    found_hw: tuple[int, ...],
    size_hw: tuple[int, int],
    image: Path,
    what: str = "the mask is",
) -> None:
    """Check that a mask has its picture's size.

    Args:
        path: where the mask is from.
        found_hw: its height and width.
        size_hw: of the picture.
        image: the picture.
        what: what has `found_hw`, for the message.

    Raises:
        DataError: another size; where height and width are swapped, it names EXIF as the cause.
    """
    if found_hw == tuple(size_hw):
        return
    turned = found_hw[::-1] == tuple(size_hw) and orientation_of(image) != 1
    cause = (
        f"; {image.name} is shown turned by its EXIF orientation, and the mask was drawn on the "
        "picture as stored: turn the mask, or remove the orientation"
        if turned
        else "; they must be the same"
    )
    raise DataError(
        f"{path}: {what} {found_hw[0]}x{found_hw[1]}, its image is "
        f"{size_hw[0]}x{size_hw[1]} (height x width){cause}"
    )
