"""Options that the verbs with a training share; torch is not imported, so that `--help` is quick.

DATA, HOLD_OUT, STOP_AFTER    single options of some verbs
TrainingOptions               of train, qat, prune and tune
EpochOptions                  of train, qat and prune, which also choose the number of epochs
TrainJobOptions               of train
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.options import (
    DATA_HELP,
    LARGEST_SEED,
    SETTINGS,
    JobOptions,
    Option,
    changed,
    option,
)

PHOTOMETRY = ("none", "mild", "mixed", "strong")

DATA = Option(f"{DATA_HELP}.", order=0)
HOLD_OUT = Option(
    "Leave this drive (the name's part before _) out of training and validate on it.",
    metavar="DRIVE",
    order=1,
)
STOP_AFTER = Option(
    "End after this epoch; the schedule remains that of --epochs.", least=1, order=5
)


@dataclasses.dataclass(frozen=True)
class TrainingOptions(JobOptions):
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
        "Which checkpoint is the result: picked on validation, that data then flatters it.",
        choices=("best", "last"),
        default="best",
        order=5,
    )


@dataclasses.dataclass(frozen=True)
class TrainJobOptions(EpochOptions):
    """Options of `edgeseg train`.

    Attributes:
        arch: a name of MODELS.
        data: what open_dataset takes.
        hold_out: a drive to validate on.
        init: a checkpoint, or a name of the zoo, to go on from.
        encoder_weights: a state dict that the encoder starts from.
        encoder_lr: factor on the encoder's learning rate.
        teacher: checkpoints to learn from.
        size: height and width of the network's input.
        settings: options of the architecture.
        normalize: "fixed" or "per_image".
        classmix: share of the crops that get classes of another crop pasted in.
        stop_after: end after this epoch.
    """

    arch: str = option(argument=True)
    data: str = option(DATA)
    hold_out: str | None = option(HOLD_OUT, default=None)
    init: Path | None = option(
        "Go on from a checkpoint or a model of the zoo, as a fine-tuning step: its size unless "
        "--size is given, its options and normalisation; other classes get a fresh last layer.",
        metavar="CHECKPOINT|NAME",
        default=None,
    )
    encoder_weights: Path | None = option(
        "Start the encoder from this state dict (.pth or .safetensors) of torchvision's VGG16, "
        "MobileNetV2 or ResNet, or of EfficientNet-Lite0 or -Lite2; fixed normalisation is then "
        "that file's.",
        metavar="FILE",
        default=None,
    )
    encoder_lr: float = option(
        "Learning rate of the encoder, as a factor of --lr; below 1 keeps more of what "
        "--encoder-weights brought.",
        metavar="FACTOR",
        least=0,
        least_open=True,
        default=1.0,
    )
    teacher: tuple[Path, ...] = option(
        "A trained network to learn from beside the labels; several teach by their mean.",
        metavar="CHECKPOINT",
        default=(),
    )
    distill: float = changed(
        TrainingOptions,
        "distill",
        default=1.0,
        help="Weight of what the --teacher says.",
        least_open=True,
    )
    size: tuple[int, int] | None = option(
        "Input of the network.  [default: 360x480, or that of --init]", default=None
    )
    crop: tuple[int, int] | None = changed(
        TrainingOptions,
        "crop",
        default=None,
        help="Size of the training crops.  [default: 256x320 or --size]",
    )
    settings: Mapping[str, Any] = option(
        "Option of the architecture, such as aspp_channels=96; may be repeated.",
        flag="set",
        metavar="KEY=VALUE",
        kind=SETTINGS,
        default={},
    )
    normalize: str | None = option(
        "Fixed mean and deviation, or those of each frame.  [default: fixed, or that of --init]",
        choices=("fixed", "per_image"),
        default=None,
    )
    classmix: float = option(
        "Share of crops over which half of the classes of another image's crop are pasted.",
        least=0,
        most=1,
        default=0.0,
    )
    epochs: int = changed(EpochOptions, "epochs", default=60)
    lr: float = changed(TrainingOptions, "lr", default=2e-3)
    stop_after: int | None = option(STOP_AFTER, default=None)
