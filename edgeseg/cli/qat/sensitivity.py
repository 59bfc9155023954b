"""`edgeseg qat --sensitivity` and `--keep-float auto`: rank layers, pick those left in float."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.common.output import print_json, print_table, progress_bar, say
from edgeseg.cli.common.quantize_options import calibrated
from edgeseg.core.files import atomic_write_text, sha256_file

if TYPE_CHECKING:
    from edgeseg.cli.qat.job import QatJob
    from edgeseg.host.quantization.sensitivity import Sensitivity

SENSITIVITY, PICTURE = "sensitivity.json", "sensitivity.png"
SHOWN = 15


def ranked(job: QatJob, checkpoint: Path, folder: Path) -> Sensitivity:
    """Measure every layer, or read what was measured for the same checkpoint, options and data.

    Leaves sensitivity.json and sensitivity.png in `folder`.
    """
    from edgeseg.host.quantization.sensitivity import Sensitivity, measure
    from edgeseg.host.quantization.sensitivity_plot import plot_sensitivity

    key = {
        "checkpoint_sha256": sha256_file(checkpoint),
        "options": dataclasses.replace(job.choice, keep_float=()).to_step(),
        "calibration": [job.training.name, job.images],
        "images": job.validation.name,
        # A name is only the last part of a path, and masks may change below it.
        "data_sha256": [data.fingerprint() for data in (job.training, job.validation)],
    }
    path = folder / SENSITIVITY
    if path.is_file():
        document = json.loads(path.read_text())
        if document["key"] == key:
            say(f"{path}: measured already")
            return Sensitivity.from_json(document)
    choice = dataclasses.replace(job.choice, keep_float=(), learned_scales=False)
    module, _ = calibrated(job.checkpoint, choice, job.training, job.images)
    with progress_bar("sensitivity") as bar:
        found = measure(job.checkpoint.spec, module, job.validation, progress=bar.update)
    text = json.dumps({"format": 1, "key": key, **found.to_json()}, indent=1)
    atomic_write_text(path, text + "\n")
    plot_sensitivity(folder / PICTURE, found)
    return found


def picked(job: QatJob, found: Sensitivity, max_drop: float) -> tuple[str, ...]:
    """Return the layers to leave in float so that calibration alone loses at most `max_drop`."""
    from edgeseg.host.quantization.sensitivity import pick_float_layers
    from edgeseg.host.training.validate import score_module

    tried: dict[tuple[str, ...], float] = {}

    def miou_with(layers: tuple[str, ...]) -> float:
        if layers not in tried:
            choice = dataclasses.replace(job.choice, keep_float=layers, learned_scales=False)
            module, _ = calibrated(job.checkpoint, choice, job.training, job.images)
            tried[layers] = score_module(job.checkpoint.spec, module, job.validation).miou
            say(f"{len(layers)} layers in float: mIoU {tried[layers]:.4f} "
                f"({tried[layers] - found.float_miou:+.4f})")  # fmt: skip
        return tried[layers]

    order = [trial.layer for trial in found.trials]
    layers = pick_float_layers(order, miou_with, found.float_miou - max_drop)
    say(f"left in float: {', '.join(layers) or 'none is needed'}")
    return layers


def report(
    found: Sensitivity, folder: Path, as_json: bool, kept: tuple[str, ...] | None = None
) -> None:
    """Print the ranking and, where they were picked, the layers to leave in float."""
    if as_json:
        chosen = {} if kept is None else {"keep_float": list(kept)}
        print_json({"run": str(folder), **found.to_json(), **chosen})
        return
    print_table(
        ("layer", "lost alone", "regained in float", "labels changed"),
        [
            (
                trial.layer,
                f"{trial.alone_drop:+.4f}",
                f"{trial.restored_gain:+.4f}",
                f"{trial.alone_changed:.4f}",
            )
            for trial in found.trials[:SHOWN]
        ],
        title=f"float {found.float_miou:.4f}, all in INT8 {found.int8_miou:.4f} "
        f"({found.n_images} images)",
    )
    usual, spread = found.usual_gain, found.gain_spread
    say(f"leaving just any layer in float gains {usual:+.4f} ± {spread:.4f}; look beyond it")
    say(f"all {len(found.trials)} layers: {folder / SENSITIVITY}, picture: {folder / PICTURE}")
