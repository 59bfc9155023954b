"""Options of the jobs that quantize; torch is not imported, so that `--help` is quick.

QuantizeOptions      how a network is quantized
CalibrationOptions   of qat and export, which make QuantizeOptions of them
QatOptions           of qat
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from edgeseg.core.options import changed, option
from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError
from edgeseg.host.foreign.trust import TrustOptions
from edgeseg.host.quantization.observers import OBSERVERS
from edgeseg.host.training.job_options import DATA, STOP_AFTER, EpochOptions, TrainingOptions

ADAROUND_STEPS = 500
# Where `keep_float` leaves the choice of layers to the ranking.
AUTO = "auto"


@dataclasses.dataclass(frozen=True)
class QuantizeOptions:
    """How a network is quantized.

    Attributes:
        observer: how a range is chosen: a name in OBSERVERS.
        percentile: for "percentile", the share of non-zero magnitudes kept, in per cent.
        keep_float: convolutions that stay in float.
        equalize: even out the weights' ranges across layers first (arXiv 1906.04721).
        bias_correct: put the mean rounding error of each layer into its bias (likewise).
        adaround: steps by which each layer's rounding is chosen (arXiv 2004.10568); 0 is nearest.
        tune_ranges: move each range until the output is nearest to the float network's.
        learned_scales: make the calibrated scales parameters, for QAT to learn (LSQ).
    """

    observer: str = "entropy"
    percentile: float = 99.99
    keep_float: tuple[str, ...] = ()
    equalize: bool = False
    bias_correct: bool = False
    adaround: int = 0
    learned_scales: bool = False
    tune_ranges: bool = False

    def __post_init__(self) -> None:
        """Refuse values no observer could use, all at once."""
        problems = []
        if self.observer not in OBSERVERS:
            problems.append(unknown("observer", self.observer, OBSERVERS))
        if not 50.0 < self.percentile <= 100.0:
            problems.append(f"percentile {self.percentile} lies outside (50, 100]")
        if self.adaround < 0:
            problems.append(f"adaround is {self.adaround}, expected a number of steps or 0")
        if problems:
            raise UsageError("quantize: " + "; ".join(problems))

    @classmethod
    def from_step(cls, options: Any) -> QuantizeOptions:
        """Read the options a checkpoint's quantize step recorded."""
        known = [field.name for field in dataclasses.fields(cls)]
        given = {key: options[key] for key in known if key in options}
        if "keep_float" in given:
            given["keep_float"] = tuple(given["keep_float"])
        return cls(**given)

    def to_step(self) -> dict[str, Any]:
        """Return the JSON values that from_step reads."""
        return {**dataclasses.asdict(self), "keep_float": list(self.keep_float)}


@dataclasses.dataclass(frozen=True)
class CalibrationOptions(TrustOptions):
    """How `edgeseg qat` and `edgeseg export` quantize a float network.

    Attributes:
        observer: a name of OBSERVERS.
        percentile: of the observer "percentile".
        equalize: whether to even out weight ranges first.
        bias_correct: whether to correct biases.
        adaround: whether to choose each weight's rounding.
        adaround_steps: steps of that for each layer.
        tune_ranges: whether to move ranges by the network's own output.
        keep_float: convolutions that stay in float.
        images: how many images calibrate.
    """

    observer: str = option("How ranges are chosen.", choices=lambda: list(OBSERVERS),
                           default="entropy")  # fmt: skip
    percentile: float = option(
        "For --observer percentile: per cent of the non-zero magnitudes inside.", default=99.99
    )
    equalize: bool = option("Even out weight ranges across layers first (CLE).", default=False)
    bias_correct: bool = option("Put each layer's mean rounding error in its bias.", default=False)
    adaround: bool = option(
        "Choose for each weight whether it rounds up or down; minutes.", default=False
    )
    adaround_steps: int = option(
        "Steps of --adaround for each layer.", least=1, default=ADAROUND_STEPS
    )
    tune_ranges: bool = option(
        "Move each range until the network's output is nearest to the float one's; minutes.",
        default=False,
    )
    images: int = option("Images that calibrate those ranges.", least=1, default=64)
    keep_float: tuple[str, ...] = option(
        "Leave this convolution in float; may be repeated.", metavar="LAYER", default=()
    )

    def refuse_idle_calibration(self, *, compares: bool = False) -> None:
        """Refuse options of the calibration that change nothing.

        Args:
            compares: every observer is tried, so that `percentile` counts.

        Raises:
            UsageError: one was given.
        """
        if self.observer != "percentile" and not compares:
            self.refuse_given(("percentile",), "--observer is another")
        if not self.adaround:
            self.refuse_given(("adaround_steps",), "there is no --adaround")

    def quantize_options(self) -> QuantizeOptions:
        """Return how the network is quantized; `keep_float` "auto" names no layer yet."""
        return QuantizeOptions(
            observer=self.observer,
            percentile=self.percentile,
            keep_float=() if AUTO in self.keep_float else self.keep_float,
            equalize=self.equalize,
            bias_correct=self.bias_correct,
            adaround=self.adaround_steps if self.adaround else 0,
            tune_ranges=self.tune_ranges,
        )


@dataclasses.dataclass(frozen=True)
class QatOptions(CalibrationOptions, EpochOptions):
    """Options of `edgeseg qat`.

    Attributes:
        checkpoint: the float network.
        data: what open_dataset takes; calibrates and trains.
        scales: "calibrated", "ema" or "learned".
        freeze_after: with "ema", share of the epochs after which ranges freeze.
        weights_first: share of the epochs that round weights only.
        max_drop: with `keep_float` "auto", mIoU that calibration alone may lose.
        distill_features: weight of the float network's features as a further target.
        stop_after: end after this epoch.
    """

    checkpoint: Path = option(argument=True)
    data: str = option(DATA)
    images: int = changed(
        CalibrationOptions, "images", default=64, help="Images of --data that calibrate ranges."
    )
    scales: str = option(
        "Ranges stay as calibrated, follow the batches and freeze, or are trained (LSQ).",
        choices=("calibrated", "ema", "learned"),
        default="calibrated",
    )
    freeze_after: float = option(
        "With --scales ema: INT8 ranges follow the batches for this share of the epochs, then "
        "stay, so that the weights adapt to the ranges that ship.",
        least=0,
        most=1,
        most_open=True,
        default=0.5,
    )
    weights_first: float = option(
        "For networks that get worse under QAT: round only weights for this share of the epochs, "
        "then activations too. 0 rounds both from the start.",
        least=0,
        most=1,
        most_open=True,
        default=0.0,
    )
    keep_float: tuple[str, ...] = changed(
        CalibrationOptions,
        "keep_float",
        default=(),
        help="Leave this convolution in float; may be repeated. 'auto' picks few for --max-drop.",
    )
    max_drop: float = option(
        "With --keep-float auto: mIoU that calibration alone may lose against float.",
        least=0,
        default=0.005,
    )
    distill: float = changed(
        TrainingOptions,
        "distill",
        default=1.0,
        help="Weight of the float network's logits as a second target; 0 is none.",
    )
    distill_features: float = option(
        "Weight of the float network's features as a further target; 0 is none.",
        least=0,
        default=0.0,
        order=3,
    )
    epochs: int = changed(EpochOptions, "epochs", default=10)
    lr: float = changed(TrainingOptions, "lr", default=5e-5)
    validate_every: int = changed(EpochOptions, "validate_every", default=1)
    stop_after: int | None = option(STOP_AFTER, default=None)

    @property
    def automatic(self) -> bool:
        """Whether the layers that stay in float are picked by the ranking."""
        return AUTO in self.keep_float

    def refuse_idle(self, *, compares: bool = False) -> None:
        """Refuse options that change nothing.

        Args:
            compares: every observer is tried, so that `percentile` counts.

        Raises:
            UsageError: one was given, or "auto" stands beside names of layers.
        """
        if self.automatic and len(self.keep_float) > 1:
            raise UsageError("--keep-float auto stands alone; give it, or names of layers")
        self.refuse_idle_calibration(compares=compares)
        if self.scales != "ema":
            self.refuse_given(("freeze_after",), "--scales is not ema")
        if not self.automatic:
            self.refuse_given(("max_drop",), "there is no --keep-float auto")

    def quantize_options(self) -> QuantizeOptions:
        """Return how the network is quantized; `keep_float` "auto" names no layer yet."""
        choice = super().quantize_options()
        return dataclasses.replace(choice, learned_scales=self.scales == "learned")
