"""The rows of a bench: each bundle on each runtime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.runtime.bench.row import Entry


def bundle_rows(
    bundles: Sequence[Bundle], backends: Sequence[str], threads: int, native_float: bool
) -> list[Entry]:
    """Return a row for each bundle on each backend."""
    from edgeseg.cli.common.runtimes import backend_options
    from edgeseg.runtime.bench.row import Entry

    names = [b.name if b.precision in b.name else f"{b.name} {b.precision}" for b in bundles]
    if len(set(names)) < len(names):
        names = [str(bundle.path) for bundle in bundles]
    entries = []
    for name, bundle in zip(names, bundles, strict=True):
        for backend in backends:
            options = backend_options(backend, threads)
            entries.append(Entry(f"{name} {backend}", bundle, backend, options))
            if native_float and backend == "openvino":
                native = {**options, "float_precision": "default"}
                entries.append(Entry(f"{name} {backend} native float", bundle, backend, native))
    return entries
