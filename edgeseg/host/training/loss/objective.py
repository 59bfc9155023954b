"""Objective: the loss of a training step, from labels and from a teacher's logits and features."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from edgeseg.core.data.dataset import Dataset
from edgeseg.host.models.label_net import resize_logits
from edgeseg.host.training.distributed import Ranks
from edgeseg.host.training.loss.feature_distillation import FeatureTaps
from edgeseg.host.training.loss.losses import (
    distillation_loss,
    median_frequency_weights,
    segmentation_loss,
)
from edgeseg.host.training.options import TrainOptions

# Class frequencies of a larger set are estimated from so many samples.
WEIGHT_SAMPLES = 400


class Objective:
    """The weighted sum of the losses of a student, for batches on the options' device."""

    def __init__(
        self,
        options: TrainOptions,
        data: Dataset,
        student: nn.Module,
        teacher: nn.Module | None,
        ranks: Ranks,
    ) -> None:
        """Count the classes of `data`, and hook teacher and student if features are distilled.

        Raises:
            UsageError: features are to be distilled from another architecture.
        """
        self.options, self.teacher, self.ranks = options, teacher, ranks
        self.ignore_index = data.ignore_index
        device = torch.device(options.device)
        self.taps: FeatureTaps | None = None
        if teacher is not None:
            teacher.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if options.distill_features:
                self.taps = FeatureTaps(teacher, student)
        self.weights: torch.Tensor | None = None
        if options.class_weight_exponent:
            self.weights = median_frequency_weights(
                data, exponent=options.class_weight_exponent, limit=WEIGHT_SAMPLES
            ).to(device)

    def loss(self, student: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return this rank's part of the loss of normalized images N,3,h,w and labels N,h,w.

        `student` is the network, or what wraps it for several processes.
        """
        logits = self._logits(student, images)
        loss = self._taught(logits, images)
        loss = loss * self.ranks.weight(torch.tensor(len(images), device=images.device))
        if self.options.loss_scale != 1:
            size = [round(side * self.options.loss_scale) for side in labels.shape[-2:]]
            labels = F.interpolate(labels[:, None].float(), size=size, mode="nearest")[:, 0].long()
        logits = resize_logits(logits, labels.shape[-2:])
        own = segmentation_loss(
            logits, labels, weights=self.weights, ignore_index=self.ignore_index
        )
        return loss + own * self.ranks.weight((labels != self.ignore_index).sum())

    def close(self) -> None:
        """Take the hooks off teacher and student."""
        if self.taps:
            self.taps.close()

    def _taught(self, logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return the loss against the teacher's logits and features, 0 without a teacher."""
        options, loss = self.options, logits.new_zeros(())
        if self.teacher is None or not (options.distill or self.taps):
            return loss
        with torch.no_grad():
            target = self._logits(self.teacher, images)
        if options.distill:
            # A teacher of another architecture may answer at another resolution.
            target = resize_logits(target, logits.shape[-2:])
            loss = options.distill * distillation_loss(logits, target)
        if self.taps:
            loss = loss + options.distill_features * self.taps.loss()
        return loss

    def _logits(self, network: nn.Module, images: torch.Tensor) -> torch.Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.options.bf16):
            logits: torch.Tensor = network(images)
        return logits.float()
