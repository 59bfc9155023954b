"""Writes the plain layout: images/, masks/, classes.txt and list files; the data is not changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import cv2

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.splits import HELD_BACK, held_back
from edgeseg.core.data.views import with_ignored
from edgeseg.core.files import atomic_dir, atomic_write_text
from edgeseg.core.images.fit import resize_labels, resize_rgb
from edgeseg.core.images.io import write_png
from edgeseg.core.progress import Progress, ProgressCallback, silent
from edgeseg.core.text.names import component, is_plain
from edgeseg.errors import SourceError, UsageError

VOID = 255


@dataclasses.dataclass(frozen=True)
class PlainOptions:
    """How the plain layout is written.

    Attributes:
        size: height and width of every picture; None keeps each picture's own.
        every: only each so many-th picture of a split, or frame of a video.
        val: share that is held back for validation; None keeps the data's own splits.
        split_by: how it is held back, as `held_back` takes it.
    """

    size: tuple[int, int] | None = None
    every: int = 1
    val: float | None = None
    split_by: str = "block"


def write_plain(
    splits: Mapping[str, Dataset],
    out: Path,
    options: PlainOptions,
    progress: ProgressCallback = silent,
) -> dict[str, int]:
    """Write data as images/, masks/, classes.txt and a list file per split.

    Void is 255 in the masks, which hold labels. classes.txt says every value, so that nothing is
    guessed when they are read.

    Args:
        splits: the data by split.
        out: a folder that is not there yet; it is complete or absent.
        options: size, choice and splits.
        progress: told the number of pictures done.

    Returns:
        Number of pictures per split.

    Raises:
        DataError: a picture or a mask cannot be read.
        UsageError: something is at `out`.
    """
    _check_free(out)
    chosen = [
        (split, dataset, index)
        for split, dataset in splits.items()
        for index in range(0, len(dataset), options.every)
    ]
    names = _names(chosen)
    first = next(iter(splits.values()))
    lists: dict[str, list[str]] = {}
    if options.val is not None:
        held = held_back([Path(name) for name in names], options.split_by, options.val)
        parts = ["val" if index in held else "train" for index in range(len(names))]
    else:
        parts = [split for split, _, _ in chosen]
    with atomic_dir(out) as folder:
        for done, ((_, dataset, index), name, part) in enumerate(
            zip(chosen, names, parts, strict=True), 1
        ):
            sample = with_ignored(dataset, VOID)[index]
            rgb, labels = sample.rgb, sample.labels
            if options.size:
                rgb = resize_rgb(rgb, options.size)
                labels = None if labels is None else resize_labels(labels, options.size)
            write_png(folder / "images" / f"{name}.png", rgb)
            if labels is not None:
                write_png(folder / "masks" / f"{name}.png", labels)
            lists.setdefault(part, []).append(name)
            progress(Progress("write", done, len(chosen)))
        for part, listed in lists.items():
            atomic_write_text(folder / f"{part}.txt", "\n".join(listed) + "\n")
        lines = [
            f"{name} {red} {green} {blue} = {label}\n"
            for label, (name, (red, green, blue)) in enumerate(
                zip(first.class_names, first.palette, strict=True)
            )
        ]
        atomic_write_text(folder / "classes.txt", "".join([*lines, f"void = {VOID}\n"]))
    return {part: len(listed) for part, listed in lists.items()}


def write_frames(
    video: Path, out: Path, options: PlainOptions, progress: ProgressCallback = silent
) -> int:
    """Write every so many-th frame of a video as images/ to label; return their number.

    Raises:
        SourceError: the file is no video that OpenCV can read, or holds no frame.
        UsageError: something is at `out`.
    """
    _check_free(out)
    # Absolute: FFmpeg takes what stands before a colon for a protocol.
    capture = cv2.VideoCapture(str(video.absolute()), cv2.CAP_FFMPEG)
    try:
        if not capture.isOpened():
            raise SourceError(f"{video} is no video OpenCV {cv2.__version__} can read; convert it")
        total = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) or None
        written = number = 0
        with atomic_dir(out) as folder:
            while True:
                found, bgr = capture.read()
                if not found:
                    break
                if number % options.every == 0:
                    rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
                    rgb = resize_rgb(rgb, options.size) if options.size else rgb
                    write_png(folder / "images" / f"{video.stem}_{number:06d}.png", rgb)
                    written += 1
                number += 1
                progress(Progress("write", number, total))
            if not written:
                raise SourceError(f"{video} holds no frame OpenCV can decode; convert it")
    finally:
        capture.release()
    return written


def default_val(options: PlainOptions, splits: Mapping[str, Dataset]) -> PlainOptions:
    """Return options that hold validation back where the data has one part only."""
    if options.val is None and len(splits) == 1:
        return dataclasses.replace(options, val=HELD_BACK)
    return options


def _names(chosen: list[tuple[str, Dataset, int]]) -> list[str]:
    """Return names that are unique over all splits."""
    given = [dataset.names[index] for _, dataset, index in chosen]
    # The lists hold a name a line.
    names = [name if is_plain(name) else component(name) for name in given]
    if len(set(names)) < len(names):
        names = [f"{split}_{name}" for (split, _, _), name in zip(chosen, names, strict=True)]
    if len(set(names)) < len(names):
        names = [f"{name}_{number}" for number, name in enumerate(names)]
    return names


def _check_free(out: Path) -> None:
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise UsageError(f"-o {out} is there already; give the name of a new folder")
