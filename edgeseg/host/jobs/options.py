"""Options of train, prune and balance; torch is not imported, so that `--help` is quick."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeseg.core.options import AMOUNT, RATIOS, SETTINGS, changed, option
from edgeseg.host.pruning.options import IMPORTANCES, SCOPES
from edgeseg.host.training.job_options import (
    DATA,
    HOLD_OUT,
    STOP_AFTER,
    DataOptions,
    EpochOptions,
    TrainingOptions,
)
from edgeseg.lint.channel_blocks import ADVICE, LEAST_STEP


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
        "--size is given, its options and normalization; other classes get a fresh last layer.",
        metavar="CHECKPOINT|NAME",
        default=None,
    )
    encoder_weights: Path | None = option(
        "Start the encoder from this state dict (.pth or .safetensors) of torchvision's VGG16, "
        "MobileNetV2 or ResNet, or of EfficientNet-Lite0 or -Lite2; fixed normalization is then "
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


@dataclasses.dataclass(frozen=True)
class PruneJobOptions(EpochOptions):
    """Options of `edgeseg prune`.

    Attributes:
        checkpoint: a float network.
        ratio: share of the channels that go.
        target_macs: most multiply-accumulates left, a share or a count.
        target_params: most parameters left, likewise.
        importance: a name of IMPORTANCES.
        scope: a name of SCOPES.
        layer_ratios: ratio of the layers that match a name or pattern.
        max_ratio: no layer loses more than this share.
        round_to: widths become multiples of this.
        sparsity: "2:4" zeroes two of every four weights.
        rounds: steps to narrow in, each followed by a training.
        images: training images that an importance and the repair look at.
        repair: refit the weights that read removed channels.
        data: what open_dataset takes; None prunes by the weights alone.
        hold_out: a drive to validate on.
    """

    checkpoint: Path = option(argument=True)
    ratio: float | None = option("Share of channels that go.", least=0, most=1, default=None)
    target_macs: float | None = option(
        "Most MACs left: a share, or such as 2.1G.", kind=AMOUNT, aliases=("macs",), default=None
    )
    target_params: float | None = option(
        "Most parameters left, likewise.", kind=AMOUNT, aliases=("params",), default=None
    )
    importance: str = option(
        "What makes a channel matter.",
        choices=lambda: list(IMPORTANCES),
        default="magnitude",
    )
    scope: str = option(
        "The same ratio everywhere (uniform) or one threshold over all layers (global).",
        choices=SCOPES,
        default="uniform",
    )
    layer_ratios: Mapping[str, float] = option(
        "Ratio of the layers matching a name or pattern (*, ?); may be repeated.",
        flag="layer_ratio",
        metavar="LAYER=RATIO",
        kind=RATIOS,
        default={},
    )
    max_ratio: float = option(
        "No layer loses more than this share.",
        least=0,
        most=1,
        least_open=True,
        most_open=True,
        default=0.9,
    )
    round_to: int = option(
        f"Widths become multiples of this; {ADVICE}.", least=1, default=LEAST_STEP
    )
    sparsity: str | None = option("Zero two of every four weights.", choices=("2:4",), default=None)
    rounds: int = option(
        "Narrow in this many steps, each followed by --epochs of training.", least=1, default=1
    )
    images: int = option(
        "Images of --data that --importance taylor and --repair look at.", least=1, default=64
    )
    repair: bool = option(
        "Refit the weights that read removed channels to --images of --data (least squares).",
        default=False,
    )
    data: str | None = option(DATA, default=None)
    hold_out: str | None = option(HOLD_OUT, default=None)
    distill: float = changed(
        TrainingOptions,
        "distill",
        default=0.0,
        help="Weight of the unpruned network's logits as a second target; 0 is none.",
    )
    epochs: int = changed(EpochOptions, "epochs", default=0, least=0)


@dataclasses.dataclass(frozen=True)
class BalanceJobOptions(DataOptions):
    """Options of `edgeseg balance`.

    Attributes:
        checkpoint: a network, float or quantized, or a name of the zoo.
        data: what open_dataset takes.
        hold_out: a drive to score on.
        val_limit: the most images to score on; None takes all.
        take_back: exponent of the class weights that is taken off the scores; None only measures.
        out: folder of the result.
    """

    checkpoint: Path = option(argument=True)
    data: str = option(DATA)
    hold_out: str | None = option(HOLD_OUT, default=None)
    val_limit: int | None = option(
        "Score on this many images, spread evenly.", least=1, default=None
    )
    take_back: float | None = option(
        "Write the network with its class scores moved by this much. Above 0 (0.25): rare classes "
        "are named less often, mIoU rises. Below 0: more of them are found; take this where a "
        "missed pedestrian costs more than a false one. 0.5 undoes --class-weights 0.5.",
        metavar="EXPONENT",
        default=None,
    )
    out: Path | None = option(
        "Folder of the result; an earlier one there is replaced.", short="-o", order=6, default=None
    )
