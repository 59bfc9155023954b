"""Comparison of the ways into INT8: one table of what each costs in mIoU."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torch import nn

from edgeseg.core.files import atomic_write_text
from edgeseg.core.files.bounded import read_json
from edgeseg.core.files.lock import one_writer
from edgeseg.core.progress import ProgressCallback, counted, silent, tell
from edgeseg.core.run_key import is_same, run_key
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import module_from_checkpoint
from edgeseg.host.foreign.trust import trusting
from edgeseg.host.quantization.calibrate import calibrated
from edgeseg.host.quantization.observers import OBSERVERS
from edgeseg.host.quantization.options import ADAROUND_STEPS, QatOptions
from edgeseg.host.quantization.qat_setup import QatJob, prepared, qat_folder
from edgeseg.host.training.options import with_defaults
from edgeseg.host.training.validate import check_labelled, score_module

TABLE = "compare.json"
AGAIN = "remove it to measure again"
FLOAT = "float"
# Folders of the two trainings.
QAT, TAUGHT = "qat", "qat-distill"


@dataclasses.dataclass(frozen=True)
class Comparison:
    """The table that `compare_job` filled.

    Attributes:
        folder: of the run; holds compare.json.
        rows: scores as Scores.to_json gives them, by the row's name; "float" is the first.
    """

    folder: Path
    rows: dict[str, dict[str, Any]]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values; `drop` is the mIoU lost against float."""
        reference = self.rows[FLOAT]["miou"]
        listed = [
            {"name": name, "drop": reference - row["miou"], **row}
            for name, row in self.rows.items()
        ]
        return {"run": str(self.folder), "rows": listed}


@trusting
@one_writer
def compare_job(options: QatOptions, progress: ProgressCallback = silent) -> Comparison:
    """Measure every row that the run's folder does not hold yet.

    Rows: float; PTQ with each observer; then, with the best of these, tuned ranges, cross-layer
    equalization, bias correction, both, AdaRound, AdaRound and bias correction; QAT without a
    teacher and QAT with distillation, both trained as the other options say. Each row is written
    as it is done, and a training that was cut off goes on, so that the job may be given again. With
    other options or data, rows and trainings are made anew and the old ones removed.

    Args:
        options: as for `qat_job`.
        progress: told of calibrations, trainings and scores.

    Raises:
        UsageError: `keep_float` is "auto", or an option changes nothing.
        CheckpointError: the file is no checkpoint.
        DataError: the data cannot be read, or no validation image has labels.
    """
    if options.automatic:
        raise UsageError("--compare-ptq compares one choice of layers; name those of --keep-float")
    job = prepared(options, progress, compares=True)
    check_labelled(job.validation)
    folder = qat_folder(options, job.checkpoint.spec.arch, asks=True)
    return Comparison(folder, _filled(job, folder, progress))


def _filled(job: QatJob, folder: Path, progress: ProgressCallback) -> dict[str, dict[str, Any]]:
    path = folder / TABLE
    key = run_key(
        checkpoint_sha256=job.sha256,
        calibration=[job.training, job.images],
        validation=job.validation,
        percentile=job.choice.percentile,
        keep_float=job.choice.keep_float,
        training=job.options,
        mix=job.extra,
    )
    rows: dict[str, dict[str, Any]] = {}
    if path.is_file():
        document = read_json(path, UsageError, advice=AGAIN)
        try:
            before = document["key"]
            # An option that an older edgeseg did not write had the value that is the default now.
            same = is_same({**before, "training": with_defaults(before["training"])}, key)
            found = {**document["rows"]}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise UsageError(f"{path} is damaged ({error!r}); {AGAIN}") from error
        if same:
            rows = found
        else:
            tell(progress, f"{path} was measured with other options or data; starting anew")
            for name in (QAT, TAUGHT):
                # Resumed, they would put the old options' figures among the new ones.
                if (folder / name).is_dir():
                    shutil.rmtree(folder / name)
    for name, kind, value in _plan(job, rows):
        if name in rows:
            continue
        tell(progress, f"measuring {name}")
        module = _network(job, kind, value, folder, progress)
        rows[name] = _scored(job, module, progress)
        atomic_write_text(path, json.dumps({"format": 1, "key": key, "rows": rows}, indent=1))
    return rows


def _plan(job: QatJob, rows: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    """Yield (row, kind, what it is made of); later rows depend on the scores of earlier ones."""
    plain = dataclasses.replace(
        job.choice,
        equalize=False,
        bias_correct=False,
        adaround=0,
        learned_scales=False,
        tune_ranges=False,
    )
    yield FLOAT, FLOAT, None
    for observer in OBSERVERS:
        yield f"PTQ {observer}", "ptq", dataclasses.replace(plain, observer=observer)
    best = max(OBSERVERS, key=lambda observer: rows[f"PTQ {observer}"]["miou"])
    plain = dataclasses.replace(plain, observer=best)
    steps = job.choice.adaround or ADAROUND_STEPS
    refined: dict[str, dict[str, Any]] = {
        "tuned ranges": {"tune_ranges": True},
        "CLE": {"equalize": True},
        "bias correction": {"bias_correct": True},
        "CLE + bias correction": {"equalize": True, "bias_correct": True},
        "AdaRound": {"adaround": steps},
        "AdaRound + bias correction": {"adaround": steps, "bias_correct": True},
    }
    for name, more in refined.items():
        yield f"PTQ {best} + {name}", "ptq", dataclasses.replace(plain, **more)
    start = dataclasses.replace(job.choice, observer=best)
    alone = dataclasses.replace(job.options, distill=0.0, distill_features=0.0)
    yield "QAT", "qat", (QAT, dataclasses.replace(job, choice=start, options=alone))
    taught = job.options
    if not (taught.distill or taught.distill_features):
        taught = dataclasses.replace(taught, distill=1.0)
    yield (
        "QAT + distillation",
        "qat",
        (TAUGHT, dataclasses.replace(job, choice=start, options=taught)),
    )


def _network(
    job: QatJob, kind: str, value: Any, folder: Path, progress: ProgressCallback
) -> nn.Module:
    if kind == FLOAT:
        return module_from_checkpoint(job.checkpoint)
    if kind == "ptq":
        return calibrated(job.checkpoint, value, job.training, job.images, progress=progress)[0]
    name, training = value
    # Not the best epoch: picked on the images of this table it would flatter QAT against PTQ.
    return module_from_checkpoint(training.run(folder / name, resume=True, progress=progress).last)


def _scored(job: QatJob, module: nn.Module, progress: ProgressCallback) -> dict[str, Any]:
    """Score in float32, as exported; not in the bf16 that training may use."""
    told = counted(progress, "score", len(job.validation))
    return score_module(job.checkpoint.spec, module, job.validation, progress=told).to_json()
