"""The two calibration texts that `export` writes, each read back and checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.common.output import say
from edgeseg.core.files import atomic_write_text

if TYPE_CHECKING:
    from edgeseg.host.checkpoint import Checkpoint


def write_calibration(
    checkpoint: Checkpoint, name: str, table: Path | None, cache: Path | None, version: str
) -> None:
    """Write the table for review and TensorRT's cache, as far as they are asked for.

    Args:
        checkpoint: a quantized one.
        name: of the model.
        table: file of the table.
        cache: file of the cache.
        version: of TensorRT, for the cache's first line.

    Raises:
        UsageError: the version has no calibration cache.
        CheckpointError: what was written is not what the checkpoint holds.
    """
    from edgeseg.host.export.calibration_ranges import (
        calibration_of,
        cross_check,
        read_cache,
        read_table,
    )

    calibration = calibration_of(checkpoint, name)
    read = {}
    if table:
        atomic_write_text(table, calibration.to_table())
        read[str(table)] = read_table(table.read_text())
    if cache:
        atomic_write_text(cache, calibration.to_cache(version))
        read[str(cache)] = read_cache(cache.read_text())
    cross_check(calibration, read)
    say(f"{', '.join(read)}: {len(calibration.scales)} tensors, read back and equal")
