"""Options of `edgeseg paper`; torch is not imported, so that `--help` is quick."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.options import SETTINGS, changed, option
from edgeseg.host.paper.published import TABLES
from edgeseg.host.training.job_options import DATA, DataOptions, EpochOptions, TrainingOptions


@dataclasses.dataclass(frozen=True)
class PaperOptions(DataOptions):
    """Options of `edgeseg paper`.

    Attributes:
        table: a name of TABLES.
        data: what open_dataset takes.
        split: "val" or "test", which is scored.
        limit: the most images to score; None takes all.
        epochs: of each training.
        batch: crops a step.
        lr: peak learning rate.
        size: height and width of the input.
        crop: height and width of the training crops; None is `size`.
        archs: only these rows; empty takes all.
        checkpoints: NAME=FILE texts, each a network that is scored instead of being trained.
        settings: options of every architecture.
        rounds: timed passes.
        seed: of weights, crops and dropout.
        device: a torch device.
        out: folder of the runs.
    """

    table: str = option(argument=True, choices=list(TABLES))
    data: str = option(DATA)
    split: str = option(
        "What is scored; the paper's figures are of test.", choices=("val", "test"), default="val"
    )
    limit: int | None = option("Score this many images, spread evenly.", least=1, default=None)
    epochs: int = changed(EpochOptions, "epochs", default=200)
    batch: int = changed(TrainingOptions, "batch", default=4)
    lr: float = changed(TrainingOptions, "lr", default=2e-3)
    size: tuple[int, int] = option("Input size.", default=(360, 480), default_text="360x480")
    crop: tuple[int, int] | None = option(
        "Size of the training crops.  [default: --size]", default=None, order=3
    )
    archs: tuple[str, ...] = option("Only this row; may be repeated.", flag="arch", default=())
    checkpoints: tuple[str, ...] = option(
        "Score this checkpoint instead of training; NAME is such as segnet-basic-balanced.",
        flag="checkpoint",
        metavar="NAME=FILE",
        default=(),
    )
    settings: Mapping[str, Any] = option(
        "Option of every architecture, such as channels=8; may be repeated.",
        flag="set",
        metavar="KEY=VALUE",
        kind=SETTINGS,
        default={},
    )
    rounds: int = option("Timed passes.", least=1, default=5)
    seed: int = changed(TrainingOptions, "seed", default=0)
    device: str = changed(TrainingOptions, "device", default="cpu")
    out: Path | None = option("Folder of the runs.", short="-o", order=6, default=None)
