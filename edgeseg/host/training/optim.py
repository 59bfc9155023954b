"""Optimizers, learning-rate schedules and the moving average of weights."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from edgeseg.errors import UsageError

# Names of the parameters that hold logarithms of learned step sizes.
LEARNED_SCALES = ("log_scale", "log_weight_scale")
# A rate of 5e-5 for weights moves a step size by at most 0.05 % a step.
SCALE_LR = 10.0


def build_optimizer(
    module: nn.Module,
    name: str,
    *,
    lr: float,
    weight_decay: float,
    encoder: Collection[str] = (),
    encoder_lr: float = 1.0,
) -> torch.optim.Optimizer:
    """Return AdamW or SGD with Nesterov momentum 0.9; no decay on biases, BN and scales.

    A group's `lr_factor` multiplies the rate of the schedule. Learned step sizes have SCALE_LR:
    their logarithms need moves of some per cent in a fine-tuning whose rate suits weights.

    Args:
        module: whose parameters are trained.
        name: "adamw" or "sgd".
        lr: the rate to start with.
        weight_decay: of weights with more than one axis.
        encoder: names of parameters that train at `encoder_lr` times the rate.
        encoder_lr: see `encoder`.

    Raises:
        UsageError: `name` is unknown.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for key, parameter in module.named_parameters():
        if not parameter.requires_grad:
            continue
        factor = encoder_lr if key in encoder else 1.0
        if key.split(".")[-1] in LEARNED_SCALES:
            group = (0.0, SCALE_LR * factor)
        else:
            group = (weight_decay if parameter.ndim > 1 else 0.0, factor)
        groups.setdefault(group, []).append(parameter)
    settings: list[dict[str, Any]] = [
        {"params": parameters, "weight_decay": decay, "lr_factor": factor}
        # In a fixed order, by which a resumed run finds its moments again.
        for (decay, factor), parameters in sorted(groups.items(), key=lambda g: (-g[0][0], g[0][1]))
    ]
    if name == "adamw":
        return torch.optim.AdamW(settings, lr=lr)
    if name == "sgd":
        return torch.optim.SGD(settings, lr=lr, momentum=0.9, nesterov=True)
    raise UsageError(f"optimizer {name!r} is not one of adamw, sgd")


def _poly(progress: float) -> float:
    return (1 - progress) ** 0.9


def _cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * progress))


def _constant(_progress: float) -> float:
    return 1.0


SCHEDULES: dict[str, Callable[[float], float]] = {
    "poly": _poly,
    "cosine": _cosine,
    "constant": _constant,
}


def learning_rate(schedule: str, peak: float, *, step: int, steps: int, warmup: int) -> float:
    """Learning rate at `step` of `steps`: linear warm-up, then the schedule down to 0.

    Poly with power 0.9 is DeepLab's (arXiv 1606.00915, section 4.1); cosine after a linear
    warm-up has the shape of one-cycle (arXiv 1708.07120).

    Raises:
        UsageError: `schedule` is unknown.
    """
    if schedule not in SCHEDULES:
        raise UsageError(f"schedule {schedule!r} is not one of {', '.join(SCHEDULES)}")
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * SCHEDULES[schedule]((step - warmup) / max(1, steps - warmup))


class WeightAverage:
    """Exponential moving average of every float entry of a module's state dict."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start from the module's present state."""
        self.decay = decay
        self.updates = 0
        self.state = {key: value.detach().clone() for key, value in module.state_dict().items()}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step; early steps use a smaller decay so that the start is forgotten."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        for key, value in module.state_dict().items():
            average = self.state[key]
            if average.is_floating_point():
                average.lerp_(value.to(average.dtype), 1 - decay)
            else:
                average.copy_(value)


@contextlib.contextmanager
def swapped_weights(module: nn.Module, state: Mapping[str, torch.Tensor]) -> Iterator[None]:
    """Run the body with other weights; the module has its own again afterwards."""
    own = {key: value.detach().clone() for key, value in module.state_dict().items()}
    module.load_state_dict(dict(state))
    try:
        yield
    finally:
        module.load_state_dict(own)
