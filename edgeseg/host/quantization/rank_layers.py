"""Ranks layers by the mIoU that INT8 costs, and picks those to leave in float."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.bounded import read_json
from edgeseg.core.files.lock import one_writer
from edgeseg.core.progress import Progress, ProgressCallback, silent, tell
from edgeseg.core.run_key import is_same, run_key
from edgeseg.errors import UsageError
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.quantization.calibrate import calibrated
from edgeseg.host.quantization.options import QatOptions
from edgeseg.host.quantization.qat_setup import QatJob, prepared, qat_folder
from edgeseg.host.quantization.sensitivity import Sensitivity, measure, pick_float_layers
from edgeseg.host.training.validate import check_labelled, score_module

SENSITIVITY = "sensitivity.json"
AGAIN = "remove it to measure again"
# Each layer costs two runs of about half the network on every image.
RANKING_IMAGES = 20


@dataclasses.dataclass(frozen=True)
class Ranking:
    """What `rank_job` found.

    Attributes:
        folder: of the run; holds sensitivity.json.
        found: every layer's trials.
        kept: layers to leave in float, where `keep_float` was "auto"; None where they were not
            asked for.
    """

    folder: Path
    found: Sensitivity
    kept: tuple[str, ...] | None


@trusting
@one_writer
def rank_job(options: QatOptions, progress: ProgressCallback = silent) -> Ranking:
    """Rank the convolutions of a float network by the mIoU that they lose in INT8.

    Args:
        options: as for `qat_job`; `keep_float` is "auto" to pick layers as well, or left out.
        progress: told of calibrations and trials.

    Raises:
        UsageError: `keep_float` names layers, or an option changes nothing.
        CheckpointError: the file is no checkpoint.
        DataError: the data cannot be read, or no validation image has labels.
    """
    if options.keep_float and not options.automatic:
        raise UsageError("--sensitivity ranks every layer; give --keep-float auto, or leave it out")
    job = prepared(options, progress, val_limit=options.val_limit or RANKING_IMAGES)
    check_labelled(job.validation)
    folder = qat_folder(options, job.checkpoint.spec.arch, asks=True)
    found = ranked(job, folder, progress=progress)
    kept = picked(job, found, options.max_drop, progress=progress) if options.automatic else None
    return Ranking(folder, found, kept)


def ranked(job: QatJob, folder: Path, *, progress: ProgressCallback = silent) -> Sensitivity:
    """Measure every layer, or read what was measured for the same checkpoint, options and data.

    Leaves sensitivity.json in `folder`.
    """
    key = run_key(
        checkpoint_sha256=job.sha256,
        options=dataclasses.replace(job.choice, keep_float=()).to_step(),
        calibration=[job.training, job.images],
        validation=job.validation,
    )
    path = folder / SENSITIVITY
    if path.is_file():
        document = read_json(path, UsageError, advice=AGAIN)
        try:
            if is_same(document["key"], key):
                tell(progress, f"{path}: measured already")
                return Sensitivity.from_json(document)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is damaged ({error!r}); {AGAIN}") from error
    choice = dataclasses.replace(job.choice, keep_float=(), learned_scales=False)
    module, _ = calibrated(job.checkpoint, choice, job.training, job.images, progress=progress)
    found = measure(
        job.checkpoint.spec,
        module,
        job.validation,
        progress=lambda done, total: progress(Progress("sensitivity", done, total)),
    )
    text = json.dumps({"format": 1, "key": key, **found.to_json()}, indent=1)
    atomic_write_text(path, text + "\n")
    return found


def picked(
    job: QatJob, found: Sensitivity, max_drop: float, *, progress: ProgressCallback = silent
) -> tuple[str, ...]:
    """Return the layers to leave in float so that calibration alone loses at most `max_drop`."""
    tried: dict[tuple[str, ...], float] = {}

    def miou_with(layers: tuple[str, ...]) -> float:
        if layers not in tried:
            choice = dataclasses.replace(job.choice, keep_float=layers, learned_scales=False)
            module, _ = calibrated(
                job.checkpoint, choice, job.training, job.images, progress=progress
            )
            tried[layers] = score_module(job.checkpoint.spec, module, job.validation).miou
            tell(
                progress,
                f"{len(layers)} layers in float: mIoU {tried[layers]:.4f} "
                f"({tried[layers] - found.float_miou:+.4f})",
            )
        return tried[layers]

    order = [trial.layer for trial in found.trials]
    layers = pick_float_layers(order, miou_with, found.float_miou - max_drop)
    tell(progress, f"left in float: {', '.join(layers) or 'none is needed'}")
    return layers
