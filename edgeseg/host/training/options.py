"""TrainOptions: how a network is trained."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from typing import Any

import torch

from edgeseg.errors import BackendUnavailable, UsageError
from edgeseg.host.training.augment import Augment
from edgeseg.host.training.data import training_crop_hw
from edgeseg.host.training.job_options import EpochOptions, TrainingOptions

# Options that change nothing about the weights that a training ends with.
MAY_CHANGE = ("device", "validate_every")


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        epochs: passes over the training images.
        batch: crops a step.
        optimizer: "adamw" or "sgd".
        lr: peak learning rate.
        encoder_lr: factor on it for the encoder's weights; below 1 keeps more of what pre-training
            taught them.
        weight_decay: on convolution weights only.
        schedule: "poly", "cosine" or "constant", after the warm-up.
        warmup_epochs: linear warm-up.
        ema: decay of the weight average that is validated and kept; 0 keeps the raw weights.
        class_weight_exponent: median frequency balancing to this power; 0 is none.
        augment: crops and photometry.
        loss_scale: the loss compares at this share of the crop's size; 0.5 saves a tenth of the
            time and costs thin classes some precision.
        validate_every: epochs between validations; the last epoch is always validated.
        bf16: autocast to bfloat16; float32 if False.
        clip_grad: largest gradient norm.
        seed: of weights, crops and dropout.
        device: a torch device.
        distill: weight of the KL divergence to a teacher's logits, where one is given.
        distill_features: weight of the distance to a teacher's features, where one is given.
        weights_first: for a quantized network, share of the epochs with float activations.
        follow_ranges: likewise, share of the epochs in which activation ranges still move.
    """

    epochs: int = 60
    batch: int = 8
    optimizer: str = "adamw"
    lr: float = 2e-3
    encoder_lr: float = 1.0
    weight_decay: float = 0.02
    schedule: str = "cosine"
    warmup_epochs: float = 2.0
    ema: float = 0.998
    class_weight_exponent: float = 0.5
    augment: Augment = dataclasses.field(default_factory=Augment)
    loss_scale: float = 1.0
    validate_every: int = 5
    bf16: bool = True
    clip_grad: float = 5.0
    seed: int = 0
    device: str = "cpu"
    distill: float = 1.0
    distill_features: float = 0.0
    weights_first: float = 0.0
    follow_ranges: float = 0.0

    def __post_init__(self) -> None:
        """Check every value and report all problems at once."""
        problems = []
        for name in ("epochs", "batch", "validate_every"):
            if getattr(self, name) < 1:
                problems.append(f"{name} is {getattr(self, name)}, expected at least 1")
        for name in ("lr", "encoder_lr"):
            if not 0 < getattr(self, name) < math.inf:
                problems.append(f"{name} is {getattr(self, name)}, expected more than 0")
        if not 0 <= self.ema < 1:
            problems.append(f"ema is {self.ema}, expected 0 or more and less than 1")
        if not 0 <= self.class_weight_exponent <= 1:
            problems.append(f"class_weight_exponent is {self.class_weight_exponent}, expected 0-1")
        if not 0.1 <= self.loss_scale <= 1:
            problems.append(f"loss_scale is {self.loss_scale}, expected 0.1-1")
        for name in ("weights_first", "follow_ranges"):
            if not 0 <= getattr(self, name) < 1:
                problems.append(f"{name} is {getattr(self, name)}, expected 0 or more, less than 1")
        if problems:
            raise UsageError("; ".join(problems))
        check_device(self.device)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

    def deciding(self) -> dict[str, Any]:
        """Return what decides the weights, crops' options among the others, as JSON gives it."""
        plain: dict[str, Any] = json.loads(json.dumps(self.to_json()))
        return _flat(plain)


def with_defaults(written: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a file says of deciding() with the options that an older edgeseg did not write.

    Such an option did not exist then, and its default is what was done before there was a choice.

    Args:
        written: deciding() or to_json() of some version, and what else the file has beside it.
    """
    return {**TrainOptions().deciding(), **_flat(written)}


def _flat(written: Mapping[str, Any]) -> dict[str, Any]:
    everything = {**written, **written.get("augment", {})}
    return {key: everything[key] for key in everything if key not in (*MAY_CHANGE, "augment")}


def train_options(
    job: TrainingOptions, size_hw: tuple[int, int], *, classmix: float = 0.0, **more: Any
) -> TrainOptions:
    """Return how a job trains its network.

    Args:
        job: options of the job.
        size_hw: height and width of the network's input.
        classmix: see Augment.
        more: fields of TrainOptions that the job's options do not tell, or tell otherwise.

    Raises:
        UsageError: a value is impossible.
        BackendUnavailable: the device is not here.
    """
    told: dict[str, Any] = {
        "batch": job.batch,
        "lr": job.lr,
        "seed": job.seed,
        "device": job.device,
        "distill": job.distill,
    }
    if isinstance(job, EpochOptions):
        told |= {
            "epochs": job.epochs,
            "class_weight_exponent": job.class_weights,
            "validate_every": job.validate_every,
        }
    augment = Augment(
        crop_hw=training_crop_hw(job.crop, size_hw), photometry=job.photometry, classmix=classmix
    )
    return TrainOptions(**{**told, **more}, augment=augment)


def check_device(name: str) -> None:
    """Check that this torch can compute on a device, before anything is started on it.

    Raises:
        UsageError: it is no name of a device.
        BackendUnavailable: there is no such device here.
    """
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"device {name!r} is unknown; give cpu, cuda or cuda:N") from error
    if device.type != "cuda":
        return
    if not torch.cuda.is_available():
        raise BackendUnavailable(
            f"device {name} is not here: torch {torch.__version__} sees no NVIDIA GPU; install a "
            "CUDA build of torch, or leave --device out"
        )
    if (device.index or 0) >= torch.cuda.device_count():
        raise BackendUnavailable(
            f"device {name} is not here: torch sees {torch.cuda.device_count()} GPUs"
        )
