"""QatJob: network and data of a quantization-aware training, read and checked, and its run."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path

from torch import nn

from edgeseg.core.data.dataset import Dataset
from edgeseg.core.files import atomic_write_text, sha256_file
from edgeseg.core.progress import ProgressCallback, silent, tell
from edgeseg.core.recipe import StepDone
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_float_checkpoint,
    module_from_checkpoint,
)
from edgeseg.host.quantization.calibrate import calibrated, calibration_list
from edgeseg.host.quantization.options import QatOptions, QuantizeOptions
from edgeseg.host.quantization.quantize import folded
from edgeseg.host.training.data import fitting, mixed_in, splits
from edgeseg.host.training.options import TrainOptions, train_options
from edgeseg.host.training.run_folder import run_folder
from edgeseg.host.training.train import LAST, ProgressListener, TrainResult, train

IMAGE_LIST = "calibration-images.txt"


@dataclasses.dataclass(frozen=True)
class QatJob:
    """A quantization-aware training whose network and data are read.

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

    def run(
        self,
        folder: Path,
        *,
        resume: bool,
        stop_after: int | None = None,
        progress: ProgressCallback = silent,
    ) -> TrainResult:
        """Calibrate, train, and leave checkpoints, curves and the image list in `folder`.

        Raises:
            UsageError: a run to resume was quantized with other options.
        """
        module, step = self._resumed(folder) if resume else (None, None)
        if module is None or step is None:
            module, step = calibrated(
                self.checkpoint, self.choice, self.training, self.images, progress=progress
            )
            listed = calibration_list(self.training, self.images)
            atomic_write_text(folder / IMAGE_LIST, listed)
        epochs = self.options.epochs
        tell(
            progress,
            f"training {self.checkpoint.spec.arch} in INT8 on {self.training.name}: "
            f"{epochs} epochs -> {folder}",
        )
        taught = self.options.distill or self.options.distill_features
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
            listener=ProgressListener(progress, "qat", epochs),
        )

    def teacher(self) -> nn.Module:
        """Return the float network, its features at the scale of the student's."""
        module = module_from_checkpoint(self.checkpoint)
        if not (self.choice.equalize and self.options.distill_features):
            return module
        # Equalized channels differ from the network's own; its answers are the same.
        return folded(module, even_out=True)

    def _resumed(self, folder: Path) -> tuple[nn.Module | None, StepDone | None]:
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


def prepared(
    options: QatOptions,
    progress: ProgressCallback = silent,
    *,
    val_limit: int | None = None,
    compares: bool = False,
) -> QatJob:
    """Read the network and the data of a quantization-aware training.

    Args:
        options: of the verb.
        progress: told the census of the data.
        val_limit: the most validation images, in place of `options.val_limit`.
        compares: the job compares the observers, so that `percentile` counts.

    Raises:
        UsageError: an option changes nothing, the network is quantized, or its classes are not the
            data's.
        CheckpointError: the file is no checkpoint.
        DataError: the data cannot be read.
    """
    options.refuse_idle(compares=compares)
    path, seed = options.checkpoint, options.seed
    loaded = load_float_checkpoint(path)
    spec = loaded.spec
    limit = val_limit or options.val_limit
    training, validation = fitting(
        path,
        spec,
        *splits(options.data, None, spec.size_hw, seed, limit, options, progress),
    )
    return QatJob(
        loaded,
        sha256_file(path),
        training,
        validation,
        mixed_in(options, training, spec.size_hw, progress),
        options.quantize_options(),
        options.images,
        train_options(
            options,
            spec.size_hw,
            warmup_epochs=0.0,
            distill_features=options.distill_features,
            weights_first=options.weights_first,
            follow_ranges=options.freeze_after if options.scales == "ema" else 0.0,
        ),
    )


def qat_folder(options: QatOptions, arch: str, *, asks: bool = False) -> Path:
    """Return the folder of a run.

    Args:
        options: of the verb.
        arch: the network's architecture, for the default.
        asks: the job leaves a ranking or a comparison, beside whatever is there.

    Raises:
        UsageError: a run is there, and `options.resume` is not set.
    """
    # The second is what `edgeseg prune` leaves.
    used_by = (LAST,) if asks else (LAST, "pruned.safetensors")
    return run_folder("qat", arch, options.out, used_by=used_by, again=options.resume or asks)


def quantized_as(checkpoint: Checkpoint) -> QuantizeOptions:
    """Return the options that a quantized checkpoint was made with."""
    return QuantizeOptions.from_step(_quantize_step(checkpoint).options)


def _quantize_step(checkpoint: Checkpoint) -> StepDone:
    (step,) = [step for step in checkpoint.steps if step.kind == "quantize"]
    return step
