"""Which pictures are train, val and test: a user's list files, or a part that is held back."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from edgeseg.core.data.dataset import SPLITS
from edgeseg.core.data.pairs import Pair
from edgeseg.core.data.read_options import SPLIT_BY, ReadOptions
from edgeseg.core.images.names import IMAGE_ENDINGS, names_meant, stem_of
from edgeseg.errors import DataError, UsageError

HELD_BACK = 0.2
# Frames side by side look alike: few long blocks leave few neighbours on both sides.
BLOCK_FRAMES, MOST_BLOCKS = 8, 5


def list_files(root: Path, folders: Sequence[str] = ("",)) -> dict[str, Path]:
    """Return the list file of each split: `train.txt` and so on in the first folder that has any.

    Args:
        root: of the data.
        folders: below `root`, such as "ImageSets/Segmentation".
    """
    for folder in folders:
        found = {s: p for s in SPLITS if (p := root / folder / f"{s}.txt").is_file()}
        if found:
            return found
    return {}


def split_pairs(
    pairs: Sequence[Pair], split: str, lists: Mapping[str, Path], options: ReadOptions
) -> tuple[list[Pair], str]:
    """Return the pairs of one split and what to call it.

    With list files they decide; a split without one has what no list names. Without any, `val` is
    held back from the pictures and `test` is all of them.

    Args:
        pairs: all pictures, by name.
        split: "train", "val" or "test".
        lists: a list file per split, as `list_files` finds them.
        options: what the user asks for: `split_by`, as `held_back` takes it, and `hold_back`.

    Raises:
        DataError: a list names a picture that is not there, nothing is left for the split, or
            there are too few pictures to hold any back.
    """
    if lists:
        return _by_lists(pairs, split, lists), split
    if split == "test":
        return list(pairs), "test: all images, those of train and val"
    if split == "train" and not options.hold_back:
        return list(pairs), "train, nothing held back"
    held = held_back([image for image, _ in pairs], options.split_by)
    kept = [pair for k, pair in enumerate(pairs) if (k in held) == (split == "val")]
    return kept, f"{split}, {HOW[options.split_by]}"


HOW = {
    "block": "blocks of frames, see --split-by",
    "name": "whole names, see --split-by",
    "random": "at random, see --split-by",
}


def held_back(
    images: Sequence[Path], split_by: str = "block", share: float = HELD_BACK
) -> set[int]:
    """Return which pictures are held back for validation.

    Args:
        images: in the order of their names.
        split_by: "block": contiguous runs, since neighbouring frames of one video look alike;
            "name": all pictures of a folder, or of the name's part before the first `_`, stay
            together; "random": each for itself, for pictures without an order.
        share: of the pictures, 0 to 1.

    Raises:
        DataError: there are fewer than two pictures, or by "name" one group only.
        UsageError: `split_by` is unknown.
    """
    if split_by not in SPLIT_BY:
        raise UsageError(f"--split-by {split_by!r} is unknown; use one of {', '.join(SPLIT_BY)}")
    total = len(images)
    if total < 2:
        where = images[0].parent if images else "the folder"
        raise DataError(
            f"{where}: {total} image(s) are too few to hold one back for validation; add images, "
            "or make images/train/ and images/val/"
        )
    wanted = min(max(1, round(total * share)), total - 1)
    if split_by == "random":
        return set(random.Random(0).sample(range(total), wanted))
    if split_by == "name":
        return _whole_groups(images, wanted)
    blocks = min(max(1, wanted // BLOCK_FRAMES), MOST_BLOCKS)
    held: set[int] = set()
    for block in range(blocks):
        size = wanted * (block + 1) // blocks - wanted * block // blocks
        # A single block ends the order; several stand at the end of their part of it.
        end = total * (block + 1) // blocks
        held |= set(range(end - size, end))
    return held


def _whole_groups(images: Sequence[Path], wanted: int) -> set[int]:
    """Hold back whole groups, the last by name first, until enough pictures are held."""
    groups: dict[str, list[int]] = {}
    folders = {image.parent for image in images}
    for index, image in enumerate(images):
        group = str(image.parent) if len(folders) > 1 else stem_of(image).split("_", 1)[0]
        groups.setdefault(group, []).append(index)
    if len(groups) < 2:
        raise DataError(
            f"{images[0].parent}: all names begin alike (the part before _), so that --split-by "
            "name has one group; use --split-by block, or list pictures in train.txt and val.txt"
        )
    if len(groups) == len(images):
        raise DataError(
            f"{images[0].parent}: no two names begin alike (the part before _), so that --split-by "
            "name keeps nothing together; use --split-by block or random"
        )
    held: set[int] = set()
    # The group whose size comes nearest to what is still wanted goes first.
    for _, members in sorted(
        groups.items(), key=lambda item: (abs(len(item[1]) - wanted), item[0])
    ):
        if held and len(held) + len(members) > wanted:
            continue
        if len(held) < wanted and len(held) + len(members) < len(images):
            held |= set(members)
    return held


def _by_lists(pairs: Sequence[Pair], split: str, lists: Mapping[str, Path]) -> list[Pair]:
    finder = Finder([image for image, _ in pairs])
    listed = {name: read_list(path, finder) for name, path in lists.items()}
    if split in listed:
        chosen = listed[split]
        where = lists[split]
    else:
        taken = {index for indices in listed.values() for index in indices}
        chosen = [index for index in range(len(pairs)) if index not in taken]
        where = next(iter(lists.values())).parent
    if not chosen:
        there = ", ".join(path.name for path in lists.values())
        raise DataError(
            f"{where}: no images are listed for {split}; {there} leave none for it: name pictures, "
            f"one a line, in {split}.txt"
        )
    return [pairs[index] for index in chosen]


class Finder:
    """Finds pictures by what a list file calls them: with any prefix, ending or slash."""

    def __init__(self, images: Iterable[Path]) -> None:
        """Index the pictures by name and by path."""
        self._images = list(images)
        self._by_name: dict[str, list[int]] = {}
        for index, image in enumerate(self._images):
            for name in dict.fromkeys((stem_of(image), *names_meant(stem_of(image), mask=False))):
                self._by_name.setdefault(name, []).append(index)

    def find(self, text: str) -> int | None:
        """Return the picture of a line; None where there is none or it could be several."""
        path = PurePosixPath(text.strip().strip('"').replace("\\", "/"))
        stem = stem_of(Path(path.name)) if path.suffix.lower() in IMAGE_ENDINGS else path.name
        found: list[int] = []
        for name in dict.fromkeys((stem, *names_meant(stem, mask=False))):
            found = self._by_name.get(name, [])
            if found:
                break
        # The longest common end of both paths decides between pictures of one name.
        parts = path.parts[:-1]
        ends = [_common_end(parts, self._images[index].parent.parts) for index in found]
        best = [index for index, end in zip(found, ends, strict=True) if end == max(ends)]
        return best[0] if len(best) == 1 else None


def _common_end(one: Sequence[str], other: Sequence[str]) -> int:
    count = 0
    for a, b in zip(reversed(one), reversed(other), strict=False):
        if a != b:
            break
        count += 1
    return count


def read_list(path: Path, finder: Finder) -> list[int]:
    """Return the pictures that a list file names, in its order and each once.

    A line is a name or a path, with or without its ending, with any folders before it and slashes
    of either kind; a mask's path or a number after it is left out.

    Raises:
        DataError: a line names no picture, or could mean several.
    """
    found: dict[int, None] = {}
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        index = finder.find(line)
        words = line.split()
        for end in range(len(words) - 1, 0, -1):
            if index is not None:
                break
            index = finder.find(" ".join(words[:end]))
        if index is None:
            raise DataError(
                f"{path}, line {number}: {line.strip()} is no picture here, or could mean several; "
                "write each picture's name, with its folder where two have one name"
            )
        found[index] = None
    return list(found)
