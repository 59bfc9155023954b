"""A user's own data: images/, masks/ and classes.txt in one folder."""

from __future__ import annotations

from pathlib import Path

from edgeseg.core.data.dataset import SPLITS
from edgeseg.core.data.formats.base import ReadOptions, chosen_pairs, folder_of, labelled_pairs
from edgeseg.core.data.formats.parse import asked_classes
from edgeseg.core.data.pairs import PairFolder, pair_files
from edgeseg.core.data.splits import list_files
from edgeseg.errors import DataError

# The usual name first; others are what public projects call these folders.
IMAGES = ("images", "imgs", "image", "img")
MASKS = ("masks", "mask", "labels", "label", "annotations", "gt")


class MaskFolder:
    """images/, masks/ and classes.txt, with a folder or a list file per split or neither."""

    tree = "images/ and masks/ with classes.txt"

    def recognize(self, root: Path) -> str | None:
        """Tell whether images/ or classes.txt is there."""
        images, classes = _first(root, IMAGES), (root / "classes.txt").is_file()
        if images.is_dir():
            return f"{images.name}/" + (" and classes.txt" if classes else "")
        # classes.txt also goes with other layouts; alone it is the beginning of this one.
        others = [path for path in root.iterdir() if path.is_dir() and path.name not in MASKS]
        return "classes.txt" if classes and not others else None

    def open(self, root: Path, split: str, options: ReadOptions) -> PairFolder:
        """Open one split of the folder.

        Where `images/train/` and so on exist (and `masks/train/`), they are the splits; else what
        `train.txt`, `val.txt` and `test.txt` beside images/ name. Otherwise "val" is held back as
        `options.split_by` says, "train" is the rest, and "test" all of them, which its name says.

        Raises:
            DataError: a folder or classes.txt is missing or empty, or an image has no mask.
        """
        images, masks = _first(root, IMAGES), _first(root, MASKS)
        for folder, what in ((images, "the pictures"), (masks, "one mask per picture")):
            if not folder.is_dir():
                raise DataError(f"{root}: no {folder.name}/ folder; expected {what} there")
        classes = asked_classes(root, options)
        folders = [s for s in SPLITS if (images / s).is_dir()]
        lists = list_files(root)
        held_back = not folders
        if folders and not lists:
            # A training set alone gives its validation too.
            held_back = folders == ["train"] and split != "test"
            if not held_back and split not in folders:
                raise DataError(
                    f"{images}: no {split}/; splits that are there: {', '.join(folders)}"
                )
            part = "train" if held_back else split
            images, masks = images / part, masks / part
            if not masks.is_dir():
                raise DataError(f"{masks}: no such folder; {images} needs its masks there")
        pairs = pair_files(images, masks)
        if not pairs:
            raise DataError(f"{images}: no images; expected PNG or JPEG files")
        if lists or held_back:
            pairs, notes, what = chosen_pairs(pairs, split, lists, options, str(masks))
        else:
            (pairs, notes), what = labelled_pairs(pairs, options, str(masks)), split
        return folder_of(f"{root.name} ({what})", pairs, classes, options, notes)


def only_pictures(root: Path) -> bool:
    """Tell whether neither masks nor classes.txt are there: pictures that nobody labelled."""
    return not _first(root, MASKS).is_dir() and not (root / "classes.txt").is_file()


def _first(root: Path, names: tuple[str, ...]) -> Path:
    """Return the first of these folders that is there, else where the usual one would be."""
    return next((path for name in names if (path := root / name).is_dir()), root / names[0])
