"""One quantization-aware training: what the options of `qat` come down to, and running it."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeseg.cli.common.output import progress_bar, say
from edgeseg.cli.common.quantize_options import calibrated, calibration_list
from edgeseg.cli.common.train_options import BarListener
from edgeseg.core.files import atomic_write_text
from edgeseg.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from edgeseg.core.data.dataset import Dataset
    from edgeseg.core.recipe import StepDone
    from edgeseg.host.checkpoint import Checkpoint
    from edgeseg.host.quantization.quantize import QuantizeOptions
    from edgeseg.host.training.options import TrainOptions
    from edgeseg.host.training.train import TrainResult

IMAGE_LIST = "calibration-images.txt"


@dataclasses.dataclass(frozen=True)
class QatJob:
    """A quantization-aware training.

    Attributes:
        checkpoint: the float network, which is also the teacher.
        sha256: of its file.
        training: what calibrates and trains.
        validation: what is scored.
        extra: further data with its share.
        choice: how the network is quantized.
        images: calibration images.
        options: how it is trained.
    """

    checkpoint: Checkpoint
    sha256: str
    training: Dataset
    validation: Dataset
    extra: Sequence[tuple[Dataset, float]]
    choice: QuantizeOptions
    images: int
    options: TrainOptions

    def run(self, folder: Path, *, resume: bool, stop_after: int | None = None) -> TrainResult:
        """Calibrate, train, and leave checkpoints, curves and the image list in `folder`.

        Raises:
            UsageError: a run to resume was quantized with other options.
        """
        from edgeseg.host.training.train import train

        module, step = self._resumed(folder) if resume else (None, None)
        if module is None or step is None:
            module, step = calibrated(self.checkpoint, self.choice, self.training, self.images)
            listed = calibration_list(self.training, self.images)
            atomic_write_text(folder / IMAGE_LIST, listed)
        epochs = self.options.epochs
        say(f"training {self.checkpoint.spec.arch} in INT8 on {self.training.name}: "
            f"{epochs} epochs -> {folder}")  # fmt: skip
        taught = self.options.distill or self.options.distill_features
        with progress_bar("qat") as bar:
            return train(
                self.checkpoint.spec,
                module,
                self.training,
                self.options,
                folder,
                kind="qat",
                steps_before=(*self.checkpoint.steps, step),
                extra=self.extra,
                validation=self.validation,
                teacher=self.teacher() if taught else None,
                learnt_from={"start": [self.sha256]},
                resume=resume,
                stop_after=stop_after,
                listener=BarListener(bar, epochs, lines=not sys.stderr.isatty()),
            )

    def teacher(self) -> nn.Module:
        """Return the float network, its features at the scale of the student's."""
        from edgeseg.host.checkpoint import module_from_checkpoint
        from edgeseg.host.quantization.quantize import folded

        module = module_from_checkpoint(self.checkpoint)
        if not (self.choice.equalize and self.options.distill_features):
            return module
        # Equalised channels are others than the network's own, and its answers are the same.
        return folded(module, even_out=True)

    def _resumed(self, folder: Path) -> tuple[nn.Module | None, StepDone | None]:
        from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
        from edgeseg.host.training.train import LAST

        if not (folder / LAST).is_file():
            return None, None
        last = load_checkpoint(folder / LAST)
        if quantized_as(last) != self.choice:
            raise UsageError(
                f"{folder} was quantized with other options; give those again, or another -o"
            )
        calibrated_on = _quantize_step(last).metadata.get("calibration", {}).get("list_sha256")
        listed = calibration_list(self.training, self.images)
        if calibrated_on not in (None, hashlib.sha256(listed.encode()).hexdigest()):
            raise UsageError(
                f"{folder} was calibrated with other images ({folder / IMAGE_LIST}); give the same "
                "--images and data again, or another -o"
            )
        return module_from_checkpoint(last), _quantize_step(last)


def quantized_as(checkpoint: Checkpoint) -> QuantizeOptions:
    """Return the options that a quantized checkpoint was made with."""
    from edgeseg.host.quantization.quantize import QuantizeOptions

    return QuantizeOptions.from_step(_quantize_step(checkpoint).options)


def _quantize_step(checkpoint: Checkpoint) -> StepDone:
    (step,) = [step for step in checkpoint.steps if step.kind == "quantize"]
    return step
