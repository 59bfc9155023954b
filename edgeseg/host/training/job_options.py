"""Options that the verbs with a training share; torch is not imported, so that `--help` is quick.

DATA, HOLD_OUT, STOP_AFTER    single options of some verbs
TrainingOptions               of train, qat, prune and tune
EpochOptions                  of train, qat and prune, which also choose the number of epochs
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeseg.core.data.read_options import SPLIT_BY, UNLABELLED, ReadOptions
from edgeseg.core.options import (
    DATA_HELP,
    LARGEST_SEED,
    Option,
    option,
)
from edgeseg.host.foreign.trust import TrustOptions

PHOTOMETRY = ("none", "mild", "mixed", "strong")

DATA = Option(f"{DATA_HELP}.", metavar="DATA", order=0)
HOLD_OUT = Option(
    "Leave this drive (the name's part before _) out of training and validate on it.",
    metavar="DRIVE",
    order=1,
)
STOP_AFTER = Option(
    "End after this epoch; the schedule remains that of --epochs.", least=1, order=5
)


@dataclasses.dataclass(frozen=True)
class DataOptions(TrustOptions):
    """What a job asks of its data beside --data.

    Attributes:
        classes: a classes.txt that replaces the classes which the folder holds or implies.
        unlabelled: what is done with pictures without a mask; None refuses them.
        split_by: how validation is held back where the data has no splits of its own.
        allow_empty: take a class without a pixel in the training data.
    """

    classes: Path | None = option(
        "A classes.txt instead of the one that the data holds or implies: `name`, `name r g b` or "
        "`name = 7,8` a line; void on a line is ignored.",
        metavar="FILE",
        default=None,
        order=1,
    )
    unlabelled: str | None = option(
        "Leave pictures without a mask out, or take them as all of the class of label 0.  "
        "[default: refuse them]",
        choices=UNLABELLED,
        default=None,
        order=1,
    )
    split_by: str = option(
        "Hold validation back, where the data has no splits, in blocks of frames, by whole names "
        "(the part before _, or folders), or at random.",
        choices=SPLIT_BY,
        default="block",
        order=1,
    )
    allow_empty: bool = option(
        "Train although a class has no pixel in the training data.", default=False, order=1
    )

    def read_options(self) -> ReadOptions:
        """Return how the data is read."""
        return ReadOptions(self.classes, self.unlabelled, self.split_by)


@dataclasses.dataclass(frozen=True)
class TrainingOptions(DataOptions):
    """What train, qat, prune and tune ask of a training.

    Attributes:
        crop: height and width of the training crops.
        distill: weight of a teacher's logits as a second target.
        batch: crops a step.
        lr: peak learning rate.
        photometry: a name of PHOTOMETRY.
        seed: of weights, crops and dropout.
        device: a torch device.
        val_limit: the most validation images; None takes all.
        resume: go on with an interrupted run.
        out: folder of the run.
    """

    crop: tuple[int, int] | None = option(
        "Size of the training crops.  [default: 256x320 or less]", default=None, order=3
    )
    distill: float = option(
        "Weight of CHECKPOINT's logits as a second target; 0 is none.",
        least=0,
        default=1.0,
        order=3,
    )
    batch: int = option("Crops a step.", least=1, default=8, order=4)
    lr: float = option("Peak learning rate.", default=5e-4, order=4)
    photometry: str = option(
        "How far light, colour and noise of the training crops vary; mixed draws mild or strong "
        "for each crop.",
        choices=PHOTOMETRY,
        default="strong",
        order=4,
    )
    seed: int = option(
        "Of weights, crops and dropout.", least=0, most=LARGEST_SEED, default=0, order=4
    )
    device: str = option("cpu, cuda or cuda:N.", default="cpu", order=4)
    val_limit: int | None = option(
        "Validate on this many images, spread evenly.", least=1, default=None, order=4
    )
    resume: bool = option("Go on where an interrupted run stopped.", default=False, order=5)
    out: Path | None = option("Folder of the run.", short="-o", default=None, order=6)


@dataclasses.dataclass(frozen=True)
class EpochOptions(TrainingOptions):
    """What train, qat and prune ask of a training.

    Attributes:
        mix: further data mixed into every epoch.
        mix_share: images of it as a share of the main data's.
        epochs: passes over the data.
        class_weights: exponent of the median frequency balancing.
        validate_every: epochs between validations.
        result: "best" or "last", the checkpoint that is the run's result.
    """

    mix: str | None = option(
        "Further data mixed into every epoch.", metavar="DATA", default=None, order=1
    )
    mix_share: float = option(
        "Images of --mix as a share of --data's.", least=0, least_open=True, default=0.25, order=1
    )
    epochs: int = option("Passes over --data.", least=1, default=10, order=3)
    class_weights: float = option(
        "Exponent of the median frequency balancing; 0 is none.",
        least=0,
        most=1,
        default=0.5,
        order=4,
    )
    validate_every: int = option("Epochs between validations.", least=1, default=5, order=4)
    result: str = option(
        "Checkpoint to go on with: best has the highest validation mIoU, last is the end of the "
        "schedule. Take last where you report figures of the validation data: best was picked on "
        "it.",
        choices=("best", "last"),
        default="best",
        order=5,
    )
