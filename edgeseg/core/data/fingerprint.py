"""Whether two data sets hold the same, whatever they are called."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from edgeseg.core.data.dataset import Dataset, PairFolder
from edgeseg.core.data.views import Revoided, Subset
from edgeseg.core.files import sha256_file


def data_sha256(dataset: Dataset) -> str:
    """Return a hash of what a data set holds, wherever it lies.

    The files are hashed as they are: decoding them would take as long as reading the data twice.
    Masks count too, since scores depend on them. Painted frames follow from their set's name and
    size, so that none is painted for this.
    """
    indices: Sequence[int] = range(len(dataset))
    base = dataset
    while isinstance(base, (Subset, Revoided)):
        if isinstance(base, Subset):
            indices = [base.indices[index] for index in indices]
        base = base.base
    text = dataset.name
    if isinstance(base, PairFolder):
        files = [file for index in indices for file in base.pairs[index] if file]
        text = "\n".join(sha256_file(file) for file in files)
    return hashlib.sha256(text.encode()).hexdigest()
