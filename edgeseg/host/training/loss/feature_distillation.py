"""Feature distillation: what a student's convolutions read, held to what its teacher's read.

Source: hints of Romero et al. 2015, "FitNets" (arXiv 1412.6550), section 2.2, without the
regressor: a fake-quantized student has its teacher's widths.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from edgeseg.errors import UsageError

# Evenly spread over the depth, the head's input last.
TAPS = 4


class FeatureTaps:
    """Collects the inputs of the same convolutions in a teacher and a student, call by call.

    The taps stand before convolutions, where the student's tensor is on its INT8 grid already.
    """

    def __init__(self, teacher: nn.Module, student: nn.Module, taps: int = TAPS) -> None:
        """Hook both networks; close() takes the hooks off again.

        Raises:
            UsageError: the two share no convolution by name.
        """
        theirs, ours = _convolutions(teacher), _convolutions(student)
        shared = [name for name in theirs if name in ours]
        if not shared:
            raise UsageError("feature distillation needs a teacher of the student's architecture")
        count = min(taps, len(shared))
        self.names = tuple(shared[(i + 1) * len(shared) // count - 1] for i in range(count))
        self._seen: dict[str, dict[str, torch.Tensor]] = {"teacher": {}, "student": {}}
        self._handles = [
            layers[name].register_forward_pre_hook(self._hook(side, name))
            for side, layers in (("teacher", theirs), ("student", ours))
            for name in self.names
        ]

    def loss(self) -> torch.Tensor:
        """Return the mean over the taps of |student - teacher|^2 / |teacher|^2 of the last calls.

        The share makes deep and shallow features count alike, whatever their magnitude.

        Raises:
            RuntimeError: a network was not called since the last loss.
        """
        parts = []
        for name in self.names:
            if name not in self._seen["teacher"] or name not in self._seen["student"]:
                raise RuntimeError(f"no features of {name}; call teacher and student first")
            target = self._seen["teacher"][name].detach().float()
            error = (self._seen["student"][name].float() - target).square().sum()
            parts.append(error / target.square().sum().clamp_min(1e-12))
        for seen in self._seen.values():
            seen.clear()
        return torch.stack(parts).mean()

    def close(self) -> None:
        """Take the hooks off."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _hook(self, side: str, name: str) -> Any:
        def keep(_layer: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            self._seen[side][name] = inputs[0]

        return keep


def _convolutions(module: nn.Module) -> dict[str, nn.Module]:
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d))
    }
