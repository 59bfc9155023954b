"""Teachers: trained networks whose class probabilities another network learns from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from edgeseg.core.spec import ModelSpec, Preprocess
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
from edgeseg.host.models.label_net import resize_logits


class Ensemble(nn.Module):
    """Several networks as one: the logarithm of the mean of their class probabilities.

    Source: Hinton et al., arXiv 1503.02531, section 1 (distilling an ensemble into one network).
    """

    def __init__(self, members: Sequence[nn.Module]) -> None:
        """Join networks with the same input and classes.

        Raises:
            UsageError: there is none.
        """
        super().__init__()
        if not members:
            raise UsageError("an ensemble needs at least one network")
        self.members = nn.ModuleList(members)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return log-probabilities N,K,h',w' of images N,3,h,w, in the finest member's raster."""
        logits = [member(images).float() for member in self.members]
        finest = max((one.shape[-2:] for one in logits), key=lambda size: size[0] * size[1])
        chances = [resize_logits(one, finest).softmax(1) for one in logits]
        # The floor keeps a probability that underflowed from becoming minus infinity.
        return torch.stack(chances).mean(0).clamp(min=1e-8).log()


class Renormalized(nn.Module):
    """A teacher that gets the student's frames and sees them normalized as in its own training."""

    gain: torch.Tensor
    shift: torch.Tensor

    def __init__(self, teacher: nn.Module, theirs: Preprocess, ours: Preprocess) -> None:
        """Both normalize with a fixed mean and deviation per RGB channel, 0-1."""
        super().__init__()
        self.teacher = teacher
        mean, std = torch.tensor(theirs.mean), torch.tensor(theirs.std)
        self.register_buffer("gain", (torch.tensor(ours.std) / std).view(1, 3, 1, 1))
        shift = (torch.tensor(ours.mean) - mean) / std
        self.register_buffer("shift", shift.view(1, 3, 1, 1))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Map N,3,h,w in the student's normalization to the teacher's logits."""
        logits: torch.Tensor = self.teacher(images * self.gain + self.shift)
        return logits


def load_teachers(paths: Sequence[Path], student: ModelSpec) -> nn.Module | None:
    """Read the checkpoints that teach `student`; several teach as an ensemble, none gives None.

    A teacher may have any architecture and may be pruned or quantized.

    Returns:
        A frozen network in eval mode, from normalized N,3,h,w to logits N,K,h',w'.

    Raises:
        CheckpointError: a file is no checkpoint.
        UsageError: one has other classes, or one of it and the student normalizes by the frame's
            own statistics; all are named.
    """
    members, problems = [], []
    for path in paths:
        checkpoint = load_checkpoint(path)
        theirs, ours = checkpoint.spec.preprocess, student.preprocess
        if checkpoint.spec.class_names != student.class_names:
            problems.append(
                f"{path} has classes {checkpoint.spec.class_names}, the student "
                f"{student.class_names}"
            )
        elif theirs.normalize != ours.normalize:
            problems.append(
                f"{path} was trained on frames normalized {theirs.normalize}, the student's are "
                f"{ours.normalize}"
            )
        module = module_from_checkpoint(checkpoint)
        fixed = theirs.normalize == "fixed"
        if fixed and (theirs.mean, theirs.std) != (ours.mean, ours.std):
            module = Renormalized(module, theirs, ours)
        members.append(module)
    if problems:
        raise UsageError("these cannot teach: " + "; ".join(problems))
    if not members:
        return None
    teacher = members[0] if len(members) == 1 else Ensemble(members)
    return teacher.requires_grad_(False).eval()
