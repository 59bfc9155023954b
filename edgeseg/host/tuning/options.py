"""Options of `edgeseg tune`; torch is not imported, so that `--help` is quick."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from edgeseg.core.options import AMOUNT, BACKEND, changed, option
from edgeseg.errors import UsageError
from edgeseg.host.training.job_options import DATA, TrainingOptions
from edgeseg.lint.boards import BOARDS
from edgeseg.lint.channel_blocks import ADVICE, LEAST_STEP


@dataclasses.dataclass(frozen=True)
class TuneOptions(TrainingOptions):
    """Options of `edgeseg tune`.

    Attributes:
        checkpoint: the float network.
        data: what open_dataset takes.
        target_ms: most milliseconds a frame.
        target_fps: least frames a second.
        target_macs: most multiply-accumulates, a share or a count.
        backend: runtime that times candidates; None is the first that works.
        threads: of one inference; 0 is the runtime's choice.
        board: the Jetson whose roofline is the cost; "" times candidates.
        on: name of the board that candidates are timed on; "" is this machine.
        precision: "fp32" or "int8", of what is timed and scored.
        search_float: whether regions may stay in float.
        max_drop: most mIoU lost against the checkpoint.
        trials: how many in all.
        trial_epochs: of each candidate's training.
        round_to: widths become multiples of this.
        max_ratio: no layer loses more than this share.
        keep: names or patterns of layers that nothing is pruned of.
        images: how many repair and calibrate a candidate.
        storage: a path or database URL of the study; None is the run's folder.
        study: the study's name there.
    """

    checkpoint: Path = option(argument=True)
    data: str = option(DATA)
    target_ms: float | None = option(
        "Most time a frame.", least=0, least_open=True, default=None, order=1
    )
    target_fps: float | None = option(
        "Least rate.", least=0, least_open=True, default=None, order=1
    )
    target_macs: float | None = option(
        "Most MACs: a share, or such as 2.1G.", kind=AMOUNT, default=None, order=1
    )
    backend: str | None = option(
        "Runtime that times candidates.  [default: the first that works]",
        default=None,
        kind=BACKEND,
    )
    threads: int = option("Threads of one inference.", least=0, default=0)
    board: str = option(
        "Cost is this Jetson's roofline: computed, and a floor.",
        default="",
        metavar=f"[{'|'.join(BOARDS)}]",
    )
    on: str = option(
        "Time candidates on this board, as `edgeseg board add` named it.", default="",
        metavar="BOARD",
    )  # fmt: skip
    precision: str = option(
        "Precision of what is timed and scored; int8 is calibrated on --data.",
        choices=("fp32", "int8"),
        default="fp32",
    )
    search_float: bool = option("With int8: also search which regions stay float.", default=False)
    max_drop: float = option("Most mIoU lost against CHECKPOINT.", least=0, default=0.01)
    trials: int = option("Trials in all.", least=1, default=20)
    trial_epochs: int = option("Epochs of a trial's training.", least=1, default=3)
    round_to: int = option(
        f"Widths become multiples of this; {ADVICE}.", least=1, default=LEAST_STEP
    )
    max_ratio: float = option(
        "No layer loses more than this share.",
        least=0,
        most=1,
        least_open=True,
        most_open=True,
        default=0.8,
    )
    keep: tuple[str, ...] = option(
        "Prune nothing of the layers matching a name or pattern (*, ?); may be repeated.",
        metavar="LAYER",
        default=(),
    )
    images: int = option(
        "Images of --data that repair and calibrate candidates.", least=1, default=32
    )
    distill: float = changed(
        TrainingOptions,
        "distill",
        default=1.0,
        help="Weight of CHECKPOINT's logits as a second target of a trial's training; 0 is none.",
    )
    storage: str | None = option(
        "Where the study is kept; a database URL lets machines share it.", default=None, order=5
    )
    study: str = option("The study's name in --storage.", default="", order=5)

    @property
    def unit(self) -> str:
        """What a cost counts: "ms" (measured), "floor ms" (a board's roofline) or "MACs"."""
        if self.target_macs is not None:
            return "MACs"
        return "floor ms" if self.board else "ms"

    def check(self) -> None:
        """Check the options against each other.

        Raises:
            UsageError: not one target is given, or an option changes nothing.
        """
        targets = (self.target_ms, self.target_fps, self.target_macs)
        if sum(value is not None for value in targets) != 1:
            raise UsageError("give one of --target-ms, --target-fps and --target-macs")
        if self.target_macs is not None:
            self.refuse_given(("backend", "threads", "board", "on"), "MACs are counted, not timed")
        elif self.board:
            self.refuse_given(
                ("backend", "threads", "on"), f"the floor of {self.board} is computed, not timed"
            )
        if self.search_float and self.precision != "int8":
            raise UsageError("--search-float chooses what INT8 leaves out: give --precision int8")
