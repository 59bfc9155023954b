"""What `train` and `qat` share: their options, the progress bar, and the result they print."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeseg.cli.common.options import SEED, refuse_given
from edgeseg.cli.common.output import Progress, say
from edgeseg.errors import UsageError

if TYPE_CHECKING:
    from edgeseg.core.data.dataset import Dataset
    from edgeseg.host.training.curves import EpochRow
    from edgeseg.host.training.train import TrainResult

Function = TypeVar("Function", bound=Callable[..., Any])


def training_options(
    *, epochs: int, lr: float, validate_every: int
) -> Callable[[Function], Function]:
    """Add the options of a training run, with the verb's own defaults; none is fewer epochs."""
    options = [
        click.option(
            "--epochs", type=click.IntRange(min=min(epochs, 1)), default=epochs, show_default=True
        ),
        click.option("--batch", type=click.IntRange(min=1), default=8, show_default=True),
        click.option("--lr", type=float, default=lr, show_default=True, help="Peak learning rate."),
        click.option(
            "--photometry",
            type=click.Choice(["none", "mild", "mixed", "strong"]),
            default="strong",
            show_default=True,
            help="How far light, colour and noise of the training crops vary; mixed draws mild or "
            "strong for each crop.",
        ),
        click.option(
            "--class-weights",
            type=click.FloatRange(0, 1),
            default=0.5,
            show_default=True,
            help="Exponent of the median frequency balancing; 0 is none.",
        ),
        click.option("--seed", type=SEED, default=0, show_default=True),
        click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
        click.option(
            "--validate-every",
            type=click.IntRange(min=1),
            default=validate_every,
            show_default=True,
            help="Epochs between validations.",
        ),
        click.option(
            "--val-limit",
            type=click.IntRange(min=1),
            help="Validate on this many images, spread evenly.",
        ),
        click.option("--resume", is_flag=True, help="Go on where an interrupted run stopped."),
    ]

    def decorate(function: Function) -> Function:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def result_option(function: Function) -> Function:
    """Add --result."""
    return click.option(
        "--result",
        type=click.Choice(["best", "last"]),
        default="best",
        show_default=True,
        help="Which checkpoint is the result: picked on validation, that data then flatters it.",
    )(function)


def result_options(function: Function) -> Function:
    """Add --result and --stop-after."""
    stop = click.option(
        "--stop-after",
        type=click.IntRange(min=1),
        help="End after this epoch; the schedule remains that of --epochs.",
    )
    return result_option(stop(function))


def mix_options(function: Function) -> Function:
    """Add --mix and --mix-share."""
    share = click.option(
        "--mix-share",
        type=click.FloatRange(min=0, min_open=True),
        default=0.25,
        show_default=True,
        help="Images of --mix as a share of --data's.",
    )
    return click.option("--mix", metavar="DATA", help="Further data mixed into every epoch.")(
        share(function)
    )


def mixed_in(
    mix: str | None, share: float, main: Dataset, size_hw: tuple[int, int], seed: int
) -> list[tuple[Dataset, float]]:
    """Open what --mix and --mix-share name, as train() wants it.

    Raises:
        DataError: its classes are not those of `main`, the data it is mixed into.
        UsageError: a share of nothing, or an infinite one.
    """
    from edgeseg.core.data.dataset import check_same_classes
    from edgeseg.core.data.open import open_dataset
    from edgeseg.core.data.views import with_ignored

    if not mix:
        refuse_given(("mix_share",), "there is no --mix")
        return []
    if not math.isfinite(share):
        raise UsageError(f"--mix-share is {share}, expected a share of --data's images")
    extra = open_dataset(mix, "train", size_hw=size_hw, seed=seed)
    check_same_classes(main, extra)
    return [(with_ignored(extra, main.ignore_index), share)]


class BarListener:
    """Shows a training run on a progress bar, or as a line for each validation."""

    def __init__(self, bar: Progress, epochs: int, *, lines: bool) -> None:
        """Show on `bar`; with `lines`, print one line for each validation as well."""
        self._bar = bar
        self._epochs = epochs
        self._lines = lines
        self._miou = ""

    def on_step(self, epoch: int, step: int, steps: int, loss: float) -> None:
        """Move the bar by one step."""
        self._bar.update(
            epoch * steps + step + 1, self._epochs * steps, f"loss {loss:.3f}{self._miou}"
        )

    def on_epoch(self, row: EpochRow) -> None:
        """Note the newest validation."""
        if row.scores:
            # Negative where no pixel of the validation has a label.
            self._miou = f"  mIoU {row.miou:.3f}" if row.miou >= 0 else "  mIoU -"
            if self._lines:
                say(f"epoch {row.epoch}/{self._epochs}  loss {row.loss:.3f}{self._miou}")


def finish(
    result: TrainResult,
    folder: Path,
    as_json: bool,
    validation: Dataset | None = None,
    *,
    take: str = "best",
) -> None:
    """Write the run's record and page, and print what came out of it."""
    from edgeseg.cli.common.options import typed_command
    from edgeseg.cli.common.run_page import show_run
    from edgeseg.host.training.job_options import EpochOptions
    from edgeseg.host.training.run_folder import recorded

    options = EpochOptions(result=take, command=typed_command())
    show_run(recorded(result, folder, options, validation), as_json)
