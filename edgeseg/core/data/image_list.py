"""Which images were used, as text that a reviewer can check: a SHA-256 and a name a line."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.data.pairs import PairFolder
from edgeseg.core.data.views import Subset
from edgeseg.core.files import sha256_file
from edgeseg.errors import DataError


def image_list(dataset: Dataset, indices: Iterable[int]) -> str:
    """Return the list of some samples, in the form that `sha256sum` reads.

    The hash is that of the image file; a painted sample, which has none, gets that of its RGB
    bytes.
    """
    lines = []
    for index in indices:
        file = image_file(dataset, index)
        if file is None:
            sample = dataset[index]
            digest = hashlib.sha256(np.ascontiguousarray(sample.rgb).tobytes()).hexdigest()
            lines.append(f"{digest}  {sample.name}\n")
        else:
            lines.append(f"{sha256_file(file)}  {file.name}\n")
    return "".join(lines)


def check_image_list(text: str, dataset: Dataset) -> list[int]:
    """Return the samples that a list names, after checking that each is what it was.

    Raises:
        DataError: a line is malformed, or images are missing or changed; it names them all.
    """
    places = {name: index for index, name in enumerate(dataset.names)}
    indices, problems = [], []
    for number, line in enumerate(text.splitlines(), 1):
        digest, gap, name = line.partition("  ")
        if not gap or len(digest) != 64:
            raise DataError(f"image list, line {number}: expected a SHA-256, two spaces and a name")
        index = places.get(name, places.get(Path(name).stem))
        if index is None:
            problems.append(f"{name} is missing")
        elif image_list(dataset, [index]) != f"{line}\n":
            problems.append(f"{name} is another image now")
        else:
            indices.append(index)
    if problems:
        shown = ", ".join(problems[:5]) + (", ..." if len(problems) > 5 else "")
        raise DataError(f"{dataset.name} does not hold the listed images: {shown}")
    return indices


def image_file(dataset: Dataset, index: int) -> Path | None:
    """Return the file of a sample, None for one that is painted."""
    while isinstance(dataset, Subset):
        index, dataset = dataset.indices[index], dataset.base
    return dataset.pairs[index][0] if isinstance(dataset, PairFolder) else None
