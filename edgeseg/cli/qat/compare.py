"""`edgeseg qat --compare-ptq`: one table of what each way into INT8 costs in mIoU."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeseg.cli.common.output import print_json, print_table, progress_bar, say
from edgeseg.cli.common.quantize_options import ADAROUND_STEPS, calibrated
from edgeseg.core.files import atomic_write_text, sha256_file
from edgeseg.host.quantization.observers import OBSERVERS

if TYPE_CHECKING:
    from torch import nn

    from edgeseg.cli.qat.job import QatJob

TABLE = "compare.json"
FLOAT = "float"
# Folders of the two trainings.
QAT, TAUGHT = "qat", "qat-distill"


def compare(job: QatJob, checkpoint: Path, folder: Path, as_json: bool) -> None:
    """Measure every row that `folder` does not hold yet, and print the table.

    Rows: float; PTQ with each observer; then, with the best of these, cross-layer equalisation,
    bias correction, both, AdaRound, AdaRound and bias correction; QAT without a teacher and QAT
    with distillation, both trained as the other options say. Each row is written as it is done,
    and a training that was cut off goes on, so that the command may be given again. With other
    options or data rows and trainings are made anew, the old ones removed.
    """
    path = folder / TABLE
    extra = [[str(share), data.fingerprint()] for data, share in job.extra]
    key = {
        "checkpoint_sha256": sha256_file(checkpoint),
        "calibration": [job.training.name, job.images],
        "validation": job.validation.name,
        # A name is only the last part of a path, and masks may change below it.
        "data_sha256": [data.fingerprint() for data in (job.training, job.validation)],
        "percentile": job.choice.percentile,
        "keep_float": list(job.choice.keep_float),
        "training": {**job.options.deciding(), "extra": extra},
    }
    key = json.loads(json.dumps(key))
    rows: dict[str, dict[str, Any]] = {}
    if path.is_file():
        document = json.loads(path.read_text())
        if _decisive(document["key"]) == _decisive(key):
            rows = document["rows"]
        else:
            say(f"{path} was measured with other options or data; starting anew")
            for name in (QAT, TAUGHT):
                # Resumed, they would put the old options' figures among the new ones.
                if (folder / name).is_dir():
                    shutil.rmtree(folder / name)
    for name, kind, value in _plan(job, rows):
        if name in rows:
            continue
        say(f"measuring {name}")
        module = _network(job, kind, value, folder)
        rows[name] = _scored(job, module)
        atomic_write_text(path, json.dumps({"format": 1, "key": key, "rows": rows}, indent=1))
    _print(rows, folder, as_json)


def _decisive(key: dict[str, Any]) -> dict[str, Any]:
    """Return what of a table's key decides its figures.

    An option that an older edgeseg did not write had the value that is the default now.
    """
    from edgeseg.host.training.options import with_defaults

    return {**key, "training": with_defaults(key["training"])}


def _plan(job: QatJob, rows: dict[str, dict[str, Any]]) -> Iterator[tuple[str, str, Any]]:
    """Yield (row, kind, what it is made of); later rows depend on the scores of earlier ones."""
    plain = dataclasses.replace(
        job.choice, equalize=False, bias_correct=False, adaround=0, learned_scales=False
    )
    yield FLOAT, FLOAT, None
    for observer in OBSERVERS:
        yield f"PTQ {observer}", "ptq", dataclasses.replace(plain, observer=observer)
    best = max(OBSERVERS, key=lambda observer: rows[f"PTQ {observer}"]["miou"])
    plain = dataclasses.replace(plain, observer=best)
    steps = job.choice.adaround or ADAROUND_STEPS
    refined: dict[str, dict[str, Any]] = {
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


def _network(job: QatJob, kind: str, value: Any, folder: Path) -> nn.Module:
    from edgeseg.host.checkpoint import module_from_checkpoint

    if kind == FLOAT:
        return module_from_checkpoint(job.checkpoint)
    if kind == "ptq":
        return calibrated(job.checkpoint, value, job.training, job.images)[0]
    name, training = value
    # Not the best epoch: picked on the images of this table it would flatter QAT against PTQ.
    return module_from_checkpoint(training.run(folder / name, resume=True).last)


def _scored(job: QatJob, module: nn.Module) -> dict[str, Any]:
    """Score in float32, as exported; not in the bf16 that training may use."""
    from edgeseg.host.training.validate import score_module

    with progress_bar("score", len(job.validation)) as bar:
        return score_module(
            job.checkpoint.spec, module, job.validation, progress=bar.update
        ).to_json()


def _print(rows: dict[str, dict[str, Any]], folder: Path, as_json: bool) -> None:
    reference = rows[FLOAT]["miou"]
    if as_json:
        listed = [
            {"name": name, "drop": reference - row["miou"], **row} for name, row in rows.items()
        ]
        print_json({"run": str(folder), "rows": listed})
        return
    print_table(
        ("network", "mIoU", "against float", "C", "G"),
        [
            (
                name,
                f"{row['miou']:.4f}",
                f"{row['miou'] - reference:+.4f}",
                f"{row['class_accuracy']:.4f}",
                f"{row['global_accuracy']:.4f}",
            )
            for name, row in rows.items()
        ],
    )
