"""The data of a training: its splits, the crop size, what is mixed in, one label for void."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

from edgeseg.core.data.census import check_data
from edgeseg.core.data.dataset import Dataset, check_same_classes
from edgeseg.core.data.open import open_dataset
from edgeseg.core.data.read_options import ReadOptions
from edgeseg.core.data.views import hold_out as split_off
from edgeseg.core.data.views import limited, with_ignored
from edgeseg.core.progress import ProgressCallback, silent
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import UsageError
from edgeseg.host.training.job_options import DataOptions, EpochOptions


def splits(
    data: str,
    hold_out: str | None,
    size_hw: tuple[int, int],
    seed: int,
    val_limit: int | None,
    asked: DataOptions | None = None,
    progress: ProgressCallback = silent,
) -> tuple[Dataset, Dataset]:
    """Open the training and the validation images of a data set, and take their census.

    Args:
        data: what open_dataset takes.
        hold_out: validate on this drive of the training images, and do not train on it.
        size_hw: of drawn frames.
        seed: of drawn frames.
        val_limit: the most validation images, spread evenly; None takes all.
        asked: how the data is read; None reads it by its layout.
        progress: told the census and what is doubtful.

    Raises:
        DataError: the data cannot be read, or cannot teach a class that it names.
        UsageError: `hold_out` is no drive of it.
    """
    read = asked.read_options() if asked else ReadOptions()
    if hold_out:
        read = dataclasses.replace(read, hold_back=False)
    training = open_dataset(data, "train", size_hw=size_hw, seed=seed, options=read)
    if hold_out:
        training, held = split_off(training, hold_out)
        validation = limited(held, val_limit)
    else:
        validation = open_dataset(
            data, "val", size_hw=size_hw, seed=seed, limit=val_limit, options=read
        )
    empty = asked is not None and asked.allow_empty
    check_data(training, validation, allow_empty=empty, progress=progress)
    return training, validation


def training_crop_hw(crop: tuple[int, int] | None, size_hw: tuple[int, int]) -> tuple[int, int]:
    """Return `crop`; where it is None, 256x320, at most the input size `size_hw`."""
    return crop or (min(256, size_hw[0]), min(320, size_hw[1]))


def mixed_in(
    options: EpochOptions,
    main: Dataset,
    size_hw: tuple[int, int],
    progress: ProgressCallback = silent,
) -> list[tuple[Dataset, float]]:
    """Open the data that --mix names, with its share, as train() takes further data.

    Args:
        options: of the job.
        main: the data that it is mixed into.
        size_hw: of drawn frames.
        progress: told the census of what is mixed in.

    Raises:
        DataError: its classes are not those of `main`.
        UsageError: a share of nothing was given, or an infinite one.
    """
    if not options.mix:
        options.refuse_given(("mix_share",), "there is no --mix")
        return []
    if not math.isfinite(options.mix_share):
        raise UsageError(f"--mix-share is {options.mix_share}, expected a share of --data's images")
    # --classes names the classes of both, so that both have the same.
    read = dataclasses.replace(options.read_options(), hold_back=False)
    extra = open_dataset(options.mix, "train", size_hw=size_hw, seed=options.seed, options=read)
    check_same_classes(main, extra)
    check_data(extra, None, allow_empty=True, progress=progress)
    return [(with_ignored(extra, main.ignore_index), options.mix_share)]


def fitting(path: Path, spec: ModelSpec, *datasets: Dataset) -> list[Dataset]:
    """Return the data sets with the network's label for ignored pixels.

    Args:
        path: the network's file, for the message.
        spec: of the network.
        datasets: what it is trained or scored on.

    Raises:
        UsageError: one has other classes than the network.
    """
    for dataset in datasets:
        if tuple(dataset.class_names) != spec.class_names:
            raise UsageError(
                f"{path} has classes {', '.join(spec.class_names)}; {dataset.name} has "
                f"{', '.join(dataset.class_names)}; train it for them first: edgeseg train "
                f"{spec.arch} --init {path}"
            )
    return [with_ignored(dataset, spec.ignore_index) for dataset in datasets]
