"""The job of `edgeseg balance`: measure shifted class scores, and write one such network."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgeseg.core.files.lock import one_writer
from edgeseg.core.progress import ProgressCallback, counted, silent
from edgeseg.core.zoo import find_checkpoint
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import load_checkpoint, save_checkpoint
from edgeseg.host.finetuning.balance import balanced, check_balanced, sweep
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.jobs.options import BalanceJobOptions
from edgeseg.host.pruning.rounds import PRUNED
from edgeseg.host.training.data import fitting, splits
from edgeseg.host.training.loss.losses import median_frequency_weights
from edgeseg.host.training.loss.objective import WEIGHT_SAMPLES
from edgeseg.host.training.run_folder import run_folder, write_record
from edgeseg.host.training.train import LAST
from edgeseg.host.training.validate import check_labelled

# What is measured beside take_back: nothing, up to all that --class-weights 0.5 added, and some in
# the other direction.
SHOWN = (-0.25, -0.125, 0.0, 0.125, 0.25, 0.375, 0.5)
BALANCED = "balanced.safetensors"


@dataclasses.dataclass(frozen=True)
class BalanceResult:
    """What balancing measured.

    Attributes:
        checkpoint: the file that was written; None where nothing was asked to be.
        data: name of the images that were scored.
        n_images: their number.
        class_weights: median frequency weight of each class, by its name.
        rows: for each exponent "take_back" and what Scores.to_json gives.
    """

    checkpoint: Path | None
    data: str
    n_images: int
    class_weights: Mapping[str, float]
    rows: Sequence[Mapping[str, Any]]

    @property
    def document(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "checkpoint": str(self.checkpoint) if self.checkpoint else None,
            "data": self.data,
            "n_images": self.n_images,
            "class_weights": dict(self.class_weights),
            "rows": [dict(row) for row in self.rows],
        }


@trusting
@one_writer
def balance_job(options: BalanceJobOptions, progress: ProgressCallback = silent) -> BalanceResult:
    """Score a network with its class scores shifted, and write it if `take_back` is given.

    Args:
        options: the network, the data, and how far to shift.
        progress: told the number of images done.

    Raises:
        CheckpointError: the file is no checkpoint.
        DataError: the data cannot be read, or has no label.
        UsageError: options contradict each other, or the network cannot be balanced.
    """
    take_back = options.take_back
    if take_back is not None and not math.isfinite(take_back):
        raise UsageError(f"--take-back is {take_back}, expected such as 0.25")
    if take_back is None:
        options.refuse_given(("out",), "nothing is written without --take-back")
    checkpoint = find_checkpoint(options.checkpoint)
    start = load_checkpoint(checkpoint)
    check_balanced(start)
    spec = start.spec
    training, validation = fitting(
        checkpoint,
        spec,
        *splits(
            options.data,
            options.hold_out,
            spec.size_hw,
            0,
            options.val_limit,
            options,
            progress,
        ),
    )
    check_labelled(validation)
    written = None
    if take_back is not None:
        folder = run_folder(
            "balance", spec.arch, options.out, used_by=(BALANCED, LAST, PRUNED), again=True
        )
        written = folder / BALANCED
        if written.resolve() == checkpoint.resolve():
            raise UsageError(
                f"the result would replace {checkpoint}, which is read; give another -o"
            )
    weights = median_frequency_weights(training, limit=WEIGHT_SAMPLES)
    amounts = sorted({*SHOWN, *(() if take_back is None else (take_back,))})
    report = counted(progress, "balance", len(validation))
    found = sweep(start, validation, weights, amounts, progress=report)
    rows = [
        {"take_back": amount, **scores.to_json()}
        for amount, scores in zip(amounts, found, strict=True)
    ]
    if written and take_back is not None:
        taken = rows[amounts.index(take_back)]
        result = balanced(start, weights, take_back)
        save_checkpoint(written, dataclasses.replace(result, scores={"validation": taken}))
        write_record(written.parent, {"checkpoint": str(written), "scores": taken}, options.command)
    return BalanceResult(
        written,
        validation.name,
        len(validation),
        dict(zip(spec.class_names, weights.tolist(), strict=True)),
        rows,
    )
