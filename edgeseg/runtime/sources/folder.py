"""Reads a folder, a glob or one image; with a folder of masks the frames are labelled."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from edgeseg.core.data.census import (
    census_line,
    notes_of,
    refusals,
    take_census,
    warnings_of,
)
from edgeseg.core.data.masks import MaskRule, read_mask
from edgeseg.core.data.pairs import PairFolder, check_size, pair_by_stem
from edgeseg.core.data.settle import settled
from edgeseg.core.images.io import read_rgb
from edgeseg.core.images.names import IMAGE_ENDINGS, images_in
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import DataError, SourceError, UsageError
from edgeseg.runtime.single_slot import Ending, Outcome
from edgeseg.runtime.sources.base import Frame, Source, SourceRequest


class FolderSource(Source):
    """Images in the order of their names, every one of them."""

    ends = True
    reads_path = True
    takes_labels = True

    def __init__(self, request: SourceRequest) -> None:
        """List the images and match their masks.

        Raises:
            UsageError: a query is given.
            SourceError: nothing is there.
            DataError: an image has no mask, two have one name, or files are damaged; all are named.
        """
        request.options(())
        self.uri = request.uri
        self._images = _images(request.rest)
        self._masks = _masks(self._images, request.labels) if request.labels else None
        self._read = _reading(request.spec, self._images, self._masks)
        self.length = len(self._images)
        self.labelled = self._masks is not None
        self.notes = _census(self._read) if self.labelled else ()
        self._clock = request.clock
        self._next = 0

    def read(self, timeout_s: float) -> Frame | Ending:
        """Decode the next image.

        Raises:
            DataError: no image, or a mask of another size or with unknown labels.
        """
        if self._next >= len(self._images):
            return Outcome.END
        index, self._next = self._next, self._next + 1
        path = self._images[index]
        start = self._clock()
        rgb = read_rgb(path, self._read.full_scale)
        took_ns = self._clock() - start
        truth = None
        if self._masks is not None:
            truth = read_mask(self._masks[index], self._read.mask_rule).labels
            check_size(self._masks[index], truth.shape, (rgb.shape[0], rgb.shape[1]), path)
        return Frame(rgb, index, start, took_ns, truth, name=path.name)

    def close(self) -> None:
        """Give no further frame."""
        self._next = len(self._images)


def list_images(pattern: str) -> list[Path]:
    """Return what a folder, a glob or the path of an image stands for, by name; may be nothing."""
    folder = Path(pattern)
    if folder.is_dir():
        found = images_in(folder)
    elif folder.is_file():
        found = [folder]
    else:
        found = [Path(name) for name in glob.glob(pattern)]  # noqa: PTH207 - absolute patterns
    return sorted(found)


def _images(pattern: str) -> list[Path]:
    found = list_images(pattern)
    if not found:
        if not Path(pattern).is_dir() and not any(sign in pattern for sign in "*?["):
            raise SourceError(f"{pattern} does not exist; give an image, a folder or a glob")
        raise SourceError(
            f"{pattern} holds no image; expected files ending in {', '.join(IMAGE_ENDINGS)}"
        )
    return found


def _reading(spec: ModelSpec, images: list[Path], masks: list[Path] | None) -> PairFolder:
    """Return how these files are read: as a data set of the network's classes reads them."""
    colours = tuple((colour, label) for label, colour in enumerate(spec.palette))
    rule = MaskRule(spec.n_classes, spec.ignore_index, (), colours)
    paired: Sequence[Path | None] = masks or [None] * len(images)
    pairs = tuple(zip(images, paired, strict=True))
    folder = PairFolder("folder", pairs, spec.class_names, spec.palette, spec.ignore_index, rule)
    return settled(folder, [folder])


def _census(folder: PairFolder) -> tuple[str, ...]:
    """Look at every file, and return what is said of them before they are scored."""
    found = take_census(folder)
    if problems := refusals(None, found):
        raise DataError("; ".join(problems))
    warned = (f"warning: {text}" for text in warnings_of(None, found))
    return census_line(None, found), *notes_of(found), *warned


def _masks(images: list[Path], labels: Path) -> list[Path]:
    if not labels.is_dir():
        raise UsageError(f"labels {labels} is no folder; give the folder that holds the masks")
    return [mask for _, mask in pair_by_stem(images, labels) if mask is not None]
