"""The census of a data set: every file looked at once, before anything is trained or measured.

A picture's facts are kept by its files' names, sizes and times of change, and by how masks are
read, so that a later run looks at changed files alone. `check_data` says all that is found at
once: what makes the data useless is refused, what makes a figure doubtful is a warning.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.kept import kept_in, state_of
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.data.splits import HOW
from edgeseg.core.data.views import Fitted, Revoided, Subset
from edgeseg.core.files import atomic_write_text
from edgeseg.core.images.io import orientation_of
from edgeseg.core.progress import Progress, ProgressCallback, silent, tell
from edgeseg.errors import DataError

# A version of the facts; another one is counted anew.
FACTS = 1
# What a message lists before it counts the rest.
LISTED = 5
# More classes than this are not all printed on one line.
SHOWN_CLASSES = 12
MOSTLY_VOID = 0.5


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the census keeps of one picture.

    Attributes:
        size_hw: of the picture; (0, 0) where it cannot be read.
        pixels: number of pixels by label, void's label included; empty without truth.
        repaired: share of the mask's pixels that a JPEG had moved off a listed colour.
        turned: an EXIF orientation was applied to the picture.
        digest: of the picture file's bytes.
        look: 64 bits that are nearly the same for pictures that look alike.
        error: what is wrong with the files; "" for nothing.
    """

    size_hw: tuple[int, int]
    pixels: Mapping[int, int]
    repaired: float
    turned: bool
    digest: str
    look: int
    error: str


@dataclasses.dataclass(frozen=True)
class Census:
    """The census of one split.

    Attributes:
        dataset: the split.
        facts: of each sample, in order; empty where samples are painted and not read from files.
    """

    dataset: Dataset
    facts: tuple[Facts, ...]

    @property
    def pixels(self) -> np.ndarray:
        """Number of pixels of each class, "k"."""
        counts = np.zeros(len(self.dataset.class_names), np.int64)
        for fact in self.facts:
            for label, count in fact.pixels.items():
                if label < len(counts):
                    counts[label] += count
        return counts

    @property
    def void(self) -> int:
        """Number of void pixels."""
        classes = len(self.dataset.class_names)
        return sum(n for f in self.facts for label, n in f.pixels.items() if label >= classes)

    @property
    def unlabelled(self) -> int:
        """Number of pictures without truth."""
        return sum(not fact.pixels and not fact.error for fact in self.facts)

    @property
    def errors(self) -> list[str]:
        """What is wrong with files."""
        return [fact.error for fact in self.facts if fact.error]

    @property
    def sizes(self) -> collections.Counter[tuple[int, int]]:
        """Number of pictures of each height and width."""
        return collections.Counter(fact.size_hw for fact in self.facts if not fact.error)

    def to_json(self) -> dict[str, Any]:
        """Return the counts as JSON values."""
        return {
            "data": self.dataset.name,
            "images": len(self.dataset),
            "unlabelled": self.unlabelled,
            "pixels": dict(zip(self.dataset.class_names, self.pixels.tolist(), strict=True)),
            "void": self.void,
            "sizes": {f"{h}x{w}": n for (h, w), n in self.sizes.most_common()},
            "damaged": self.errors,
        }


def take_census(dataset: Dataset, progress: ProgressCallback = silent) -> Census:
    """Look at every file of a split; painted samples have none and are not looked at.

    Args:
        dataset: a split, or a view of one.
        progress: told the number of pictures done.
    """
    folder, indices = _files_behind(dataset)
    if folder is None:
        return Census(dataset, ())
    store = _Store(folder)
    keys = [_key(folder, index) for index in indices]
    found: dict[int, Facts] = {}
    for place, key in enumerate(keys):
        kept = store.get(key)
        if kept is not None:
            found[place] = kept
    missing = [place for place in range(len(indices)) if place not in found]
    if missing:
        with _one_thread_each() as pool:
            looks = pool.map(lambda place: _look(folder, indices[place]), missing)
            for done, (place, facts) in enumerate(zip(missing, looks, strict=True), 1):
                found[place] = facts
                store.put(keys[place], facts)
                progress(Progress("census", done, len(missing)))
        store.save()
    return Census(dataset, tuple(found[place] for place in range(len(indices))))


def check_data(
    training: Dataset | None,
    validation: Dataset | None,
    *,
    allow_empty: bool = False,
    progress: ProgressCallback = silent,
) -> tuple[Census | None, Census | None]:
    """Take the census, say it in one line, and refuse data that cannot teach what it names.

    Args:
        training: what is trained or calibrated on; None where nothing is.
        validation: what is scored; None where nothing is.
        allow_empty: take a class without a pixel in `training` on purpose.
        progress: told the line, the notes and the warnings.

    Raises:
        DataError: files are damaged, or a class has no pixel in `training`; it lists all of it.
    """
    train = take_census(training, progress) if training is not None else None
    val = take_census(validation, progress) if validation is not None else None
    parts = [part for part in (train, val) if part is not None]
    if not any(part.facts for part in parts):
        return train, val
    refused = refusals(train, val, allow_empty=allow_empty)
    if not any(part.errors for part in parts):
        tell(progress, census_line(train, val))
        for text in dict.fromkeys(note for part in parts for note in notes_of(part)):
            tell(progress, text)
    for text in warnings_of(train, val):
        tell(progress, f"warning: {text}")
    if refused:
        raise DataError("; ".join(refused))
    return train, val


def census_line(train: Census | None, val: Census | None) -> str:
    """Return the census as one line."""
    parts = [part for part in (train, val) if part is not None]
    names = parts[0].dataset.class_names
    counts = sum((part.pixels for part in parts), np.zeros(len(names), np.int64))
    void = sum(part.void for part in parts)
    labelled = int(counts.sum())
    order = list(range(len(names)))
    if len(names) > SHOWN_CLASSES:
        order = sorted(order, key=lambda k: -counts[k])[: SHOWN_CLASSES // 2]
    looked_at = any(part.facts for part in parts)
    shown = ", ".join(
        names[k] + (f" {_percent(int(counts[k]), labelled)}" if looked_at else "") for k in order
    )
    rest = len(names) - len(order)
    shown += f" and {rest} more" if rest else ""
    shown += f"; void {_percent(void, labelled + void)}" if looked_at else "; painted, not counted"
    images = ", ".join(
        f"{len(part.dataset)} {what}" for part, what in ((train, "train"), (val, "val")) if part
    )
    if train is None and val is not None:
        images = f"{len(val.dataset)} images"
    how = next((f" ({how})" for how in HOW.values() if how in parts[-1].dataset.name), "")
    return f"{len(names)} classes: {shown}; {images}{how}"


def notes_of(part: Census) -> list[str]:
    """Return what a user must know of how the files were read."""
    folder, _ = _files_behind(part.dataset)
    notes = list(folder.notes) if folder is not None else []
    turned = sum(fact.turned for fact in part.facts)
    if turned:
        notes.append(f"{turned} photos were turned by their EXIF orientation; their masks were not")
    repaired = [fact.repaired for fact in part.facts if fact.repaired]
    if repaired:
        share = 100 * sum(repaired) / len(part.facts)
        notes.append(
            f"masks are JPEG: {share:.1f} % of their pixels were moved to the nearest listed colour"
        )
    return notes


def refusals(train: Census | None, val: Census | None, *, allow_empty: bool = False) -> list[str]:
    """Return why data cannot be used: damaged files and classes without a pixel."""
    errors = [error for part in (train, val) if part is not None for error in part.errors]
    found = list(dict.fromkeys(errors))
    more = [f"and {len(found) - LISTED} more files cannot be read"] if len(found) > LISTED else []
    found = found[:LISTED] + more
    if train is None or allow_empty or not train.facts or errors:
        return found
    counts, names = train.pixels, train.dataset.class_names
    empty = [name for name, count in zip(names, counts, strict=True) if not count]
    if not empty:
        return found
    several = "classes" if len(empty) > 1 else "class"
    what = f"{train.dataset.name}: {several} {', '.join(empty)} without a pixel in train"
    values = {label for fact in train.facts for label in fact.pixels}
    if values <= {0, 255} and 255 in values and len(names) > 2:
        cure = (
            f"the masks hold 0 and 255 alone, which cannot be {len(names)} classes: save each "
            "class's own label, or list two classes in classes.txt"
        )
    else:
        cure = (
            "check the labels with `edgeseg data`, take the class out of classes.txt, or give "
            "--allow-empty to train without it"
        )
    return [*found, f"{what}; {cure}"]


def warnings_of(train: Census | None, val: Census | None) -> list[str]:
    """Return what makes a figure doubtful."""
    found = []
    for part, what in ((train, "train"), (val, "val")):
        if part is None:
            continue
        total = int(part.pixels.sum()) + part.void
        if total and part.void / total > MOSTLY_VOID:
            found.append(f"{_percent(part.void, total)} of the pixels of {what} are void")
        if part.unlabelled:
            found.append(f"{part.unlabelled} pictures of {what} have no mask and are not scored")
    if val is not None and val.facts:
        names = val.dataset.class_names
        lacking = [n for n, count in zip(names, val.pixels, strict=True) if not count]
        if lacking:
            found.append(
                f"val has no pixel of {', '.join(lacking)}: its IoU is undefined there, and mIoU "
                f"is the mean over {len(names) - len(lacking)} of {len(names)} classes"
            )
    shared = shared_pictures(train, val)
    if shared:
        pairs = ", ".join(f"{a} = {b}" for a, b in shared[:LISTED])
        more = ", ..." if len(shared) > LISTED else ""
        found.append(
            f"val shares {len(shared)} pictures with train ({pairs}{more}): its scores lie"
        )
    return found


def shared_pictures(train: Census | None, val: Census | None) -> list[tuple[str, str]]:
    """Return the names of pictures, in train and in val, that are the same byte for byte."""
    if train is None or val is None or not train.facts or not val.facts:
        return []
    there = dict(zip((fact.digest for fact in train.facts), train.dataset.names, strict=True))
    pairs = zip((fact.digest for fact in val.facts), val.dataset.names, strict=True)
    return [(there[digest], name) for digest, name in pairs if digest and digest in there]


def _percent(count: int, total: int) -> str:
    share = 100 * count / total if total else 0.0
    return f"{share:.0f} %" if share in (0, 100) else f"{share:.1f} %"


def _files_behind(dataset: Dataset) -> tuple[PairFolder | None, Sequence[int]]:
    """Return the folder that a data set or a view reads, and which of its samples."""
    indices: Sequence[int] = range(len(dataset))
    while isinstance(dataset, Subset | Revoided | Fitted):
        if isinstance(dataset, Subset):
            indices = [dataset.indices[index] for index in indices]
        dataset = dataset.base
    return (dataset, indices) if isinstance(dataset, PairFolder) else (None, ())


def _look(folder: PairFolder, index: int) -> Facts:
    """Read one sample in full."""
    try:
        picture = folder.picture_at(index)
        size_hw = (int(picture.shape[0]), int(picture.shape[1]))
        mask = folder.labels_at(index, size_hw)
        counts = np.bincount(mask.labels.ravel(), minlength=256) if mask else np.zeros(0, int)
        image = folder.pairs[index][0]
        return Facts(
            size_hw,
            {int(label): int(counts[label]) for label in np.flatnonzero(counts)},
            mask.repaired if mask else 0.0,
            orientation_of(image) != 1,
            hashlib.sha256(image.read_bytes()).hexdigest()[:32],
            _look_of(picture),
            "",
        )
    except (DataError, OSError) as error:
        return Facts((0, 0), {}, 0.0, False, "", 0, str(error))


def _look_of(picture: np.ndarray) -> int:
    """Return 64 bits, each whether a part of the picture is brighter than its neighbour."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits = (small[:, 1:] > small[:, :-1]).ravel()
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


@contextlib.contextmanager
def _one_thread_each() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    with concurrent.futures.ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        yield pool


def _key(folder: PairFolder, index: int) -> str:
    """Return what tells that a sample's files are those looked at before."""
    return "\n".join(state_of(path) for path in folder.files_at(index))


class _Store:
    """The kept facts of one data set read in one way; a damaged file counts as none."""

    def __init__(self, folder: PairFolder) -> None:
        """Read what is kept."""
        self._path: Path | None = None
        self._known: dict[str, list[Any]] = {}
        place = kept_in()
        if place is None or not folder.pairs:
            return
        first = folder.pairs[0][0].absolute().parent
        what = json.dumps([FACTS, str(first), type(folder).__qualname__, folder.reading()])
        self._path = place / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.json"
        with contextlib.suppress(OSError, ValueError):
            known = json.loads(self._path.read_text(encoding="utf-8"))
            self._known = known if isinstance(known, dict) else {}

    def get(self, key: str) -> Facts | None:
        """Return the facts of files, None where they are not known."""
        kept = self._known.get(key, [])
        try:
            size, pixels, repaired, turned, digest, look = kept
            counts = {int(label): int(count) for label, count in pixels}
            return Facts((size[0], size[1]), counts, repaired, turned, digest, look, "")
        except (TypeError, ValueError, IndexError):
            return None

    def put(self, key: str, facts: Facts) -> None:
        """Keep the facts of files that can be read."""
        if not facts.error:
            pixels = list(facts.pixels.items())
            self._known[key] = [
                facts.size_hw, pixels, facts.repaired, facts.turned, facts.digest, facts.look
            ]  # fmt: skip

    def save(self) -> None:
        """Write the file; a folder that cannot be written costs the next run time, no more."""
        if self._path is not None:
            with contextlib.suppress(OSError):
                atomic_write_text(self._path, json.dumps(self._known))
