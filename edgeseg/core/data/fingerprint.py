"""SHA-256 of what a data set holds: the parts from which `Dataset.fingerprint` is written.

A data set of files calls `digest_of` with the hash of each file as it lies on disk: decoding the
files would take as long as reading the data. A data set without files calls `digest_of_samples`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from edgeseg.core.data.dataset import Dataset


def digest_of(reading: Mapping[str, Any], contents: Iterable[str]) -> str:
    """Return the SHA-256 of how a data set is read and of each sample's content.

    Args:
        reading: everything that decides the samples besides the files: class names, the ignored
            label, colours of masks, parameters of a generator. JSON values.
        contents: one text per sample, such as the hashes of its files, in the samples' order.
    """
    digest = hashlib.sha256(json.dumps(reading, sort_keys=True).encode())
    for content in contents:
        digest.update(b"\n" + content.encode())
    return digest.hexdigest()


def digest_of_samples(dataset: Dataset, indices: Sequence[int] | None = None) -> str:
    """Return the SHA-256 of a data set's decoded samples; reads every one of them.

    The simplest right `fingerprint` of a data set in memory:
    `def fingerprint(self, indices=None): return digest_of_samples(self, indices)`.
    """
    reading = {
        "class_names": list(dataset.class_names),
        "ignore_index": dataset.ignore_index,
    }
    wanted = range(len(dataset)) if indices is None else indices
    return digest_of(reading, (_content(dataset, index) for index in wanted))


def _content(dataset: Dataset, index: int) -> str:
    sample = dataset[index]
    arrays = [sample.rgb] if sample.labels is None else [sample.rgb, sample.labels]
    return " ".join(
        f"{array.shape} {hashlib.sha256(np.ascontiguousarray(array)).hexdigest()}"
        for array in arrays
    )
