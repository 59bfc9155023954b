"""Hooks: what a step done to a network asks of every training after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import nn

from edgeseg.core.recipe import StepDone
from edgeseg.core.registry import Registry

if TYPE_CHECKING:
    from edgeseg.host.training.options import TrainOptions

# Step kind -> a function that takes the StepDone and returns its Hook.
STEP_HOOKS = Registry(
    "step",
    "training_hooks",
    {
        "prune": "edgeseg.host.pruning.sparsity:KeepZeros",
        "quantize": "edgeseg.host.quantization.qat_schedule:QatSchedule",
    },
)


class Hook:
    """Called by the trainer at fixed points; every method does nothing unless it is overridden.

    Attributes:
        float32_validation: validate in float32 even where the training runs in bfloat16.
    """

    float32_validation = False

    def start(self, module: nn.Module, options: TrainOptions) -> None:
        """Look at the network before anything is trained or resumed.

        Args:
            module: the network; a hook may keep it.
            options: of the training.
        """

    def before_epoch(self, epoch: int) -> None:
        """Prepare the network for an epoch, counted from 0; the same on a resumed run."""

    def after_backward(self) -> None:
        """See or change the gradients, before they are clipped."""

    def after_step(self) -> None:
        """Change the weights that the optimizer has just written."""

    def after_epoch(self) -> None:
        """Set the network up for validation and for its checkpoint."""


def hooks_of(steps: Sequence[StepDone]) -> list[Hook]:
    """Return the hooks that steps done to a network ask for, in the steps' order."""
    return [STEP_HOOKS.load(step.kind)(step) for step in steps if step.kind in STEP_HOOKS]
