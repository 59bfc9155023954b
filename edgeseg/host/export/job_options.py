"""Options of the export; torch is not imported, so that `--help` is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeseg.core.options import DATA_HELP, changed, option
from edgeseg.core.spec import PRECISIONS
from edgeseg.errors import UsageError
from edgeseg.host.export.runtimes import RUNTIMES
from edgeseg.host.quantization.options import CalibrationOptions

# Options that only a calibration follows.
CALIBRATING = (
    "observer", "percentile", "equalize", "bias_correct", "adaround", "adaround_steps",
    "tune_ranges", "keep_float",
)  # fmt: skip
UNPOOLING = ("lower", "plugin")


@dataclasses.dataclass(frozen=True)
class ExportJobOptions(CalibrationOptions):
    """Options of `edgeseg export`.

    Attributes:
        checkpoint: a checkpoint file or a name of the zoo; None takes the zoo's default model.
        precision: "int8", "fp16" or "fp32".
        size: height and width of the input; None keeps the checkpoint's.
        calibrate: data whose frames choose the INT8 ranges of a float checkpoint.
        calibration_table: file for the INT8 ranges as text.
        calibration_cache: file for them as TensorRT's calibration cache.
        tensorrt: TensorRT release of that cache.
        raw_logits: give the logits as a second output.
        unpool: "lower" or "plugin".
        simplify: run onnxsim over the graph.
        runtimes: of NVIDIA's runtimes, for which to write the network as well.
        out: the bundle's folder.
    """

    checkpoint: str | None = option(argument=True, default=None)
    precision: str | None = option(choices=PRECISIONS, default=None)
    size: tuple[int, int] | None = option(
        "Input size; the networks take any. Their scores are of the size they were trained at.  "
        "[default: the checkpoint's]",
        default=None,
        order=1,
    )
    calibrate: str | None = option(
        f"Frames that choose INT8 ranges where the checkpoint has none: {DATA_HELP}.",
        metavar="DATA",
        default=None,
        order=1,
    )
    images: int = changed(
        CalibrationOptions, "images", default=64, help="Frames of --calibrate to use."
    )
    calibration_table: Path | None = option(
        "Write the INT8 ranges as text.", metavar="FILE", default=None, order=3
    )
    calibration_cache: Path | None = option(
        "Write them as TensorRT's calibration cache, for the --fp32 export on DLA up to 10.7.",
        metavar="FILE",
        default=None,
        order=3,
    )
    tensorrt: str = option(
        "TensorRT release that the cache is for, 7 to 10.", default="10.7.0", order=3
    )
    raw_logits: bool = option("Give the logits as a second output.", default=False, order=4)
    unpool: str = option(
        "SegNet's un-pooling: standard operators, or those of the TensorRT plugin.",
        choices=UNPOOLING,
        default="lower",
        order=4,
    )
    simplify: bool = option(
        "Run onnxsim over the graph and check its result.", default=False, order=4
    )
    runtimes: tuple[str, ...] = option(
        "Write the network for this runtime too, with its configuration, into a folder beside the "
        "bundle; may be repeated. CHECKPOINT may then be a bundle.",
        flag="for",
        choices=lambda: tuple(RUNTIMES),
        default=(),
        order=4,
    )
    out: Path | None = option("The bundle's folder.", short="-o", default=None, order=6)

    @property
    def writes_ranges(self) -> bool:
        """Whether the INT8 ranges are written as text."""
        return self.calibration_table is not None or self.calibration_cache is not None

    def refuse_idle(self) -> None:
        """Refuse options that contradict each other or change nothing.

        Raises:
            UsageError: there are such, or no precision is given.
        """
        if self.precision is None:
            raise UsageError("no precision is given; give one of --int8, --fp16, --fp32")
        if self.writes_ranges and self.precision != "int8":
            raise UsageError("--calibration-table and --calibration-cache go with --int8")
        if self.precision != "int8":
            why = f"{self.precision} has no INT8 ranges; leave them out or give --int8"
            self.refuse_given(CALIBRATING, why)
        if self.calibrate is None:
            self.refuse_given(("images",), "there is no --calibrate")
        self.refuse_idle_calibration()
        if self.calibration_cache is None:
            self.refuse_given(("tensorrt",), "there is no --calibration-cache, whose version it is")
