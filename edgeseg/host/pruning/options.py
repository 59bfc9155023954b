"""PruneOptions: what to prune and how far; neither torch nor Torch-Pruning is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from edgeseg.core.registry import Registry
from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError

# An entry is a function that returns a scorer: it takes a unit's group and gives one float tensor
# of the unit's width.
IMPORTANCES = Registry(
    "importance",
    "importances",
    {
        name: f"edgeseg.host.pruning.importance:{name}"
        for name in ("magnitude", "bn", "taylor", "fpgm", "lamp", "random")
    },
)
# These look at the loss, so they need images with labels.
NEED_DATA = ("taylor",)
SCOPES = ("uniform", "global")


@dataclasses.dataclass(frozen=True)
class PruneOptions:
    """What to prune and how far.

    Attributes:
        ratio: share of the channels that go, 0 to 1.
        target_macs: instead of a ratio, the most multiply-accumulates that may be left: a share
            of the network's own up to 1, a count above; 0 is no target.
        target_params: the same for parameters.
        importance: a key of IMPORTANCES.
        scope: "uniform" takes the ratio from every unit, "global" lays one threshold over all.
        layer_ratios: ratio of the units whose convolutions match a name or pattern (*, ?); they
            stay out of the search for a target. At 0 a unit stays as it is, whatever round_to.
        max_ratio: no unit loses more than this share.
        round_to: widths become multiples of this; narrower layers are left.
        seed: of the "random" importance.
        repair: refit the weights that read removed channels, on images.
    """

    ratio: float = 0.0
    target_macs: float = 0.0
    target_params: float = 0.0
    importance: str = "magnitude"
    scope: str = "uniform"
    layer_ratios: Mapping[str, float] = dataclasses.field(default_factory=dict)
    max_ratio: float = 0.9
    round_to: int = 8
    seed: int = 0
    repair: bool = False

    def __post_init__(self) -> None:
        """Check every value and report all problems at once."""
        problems = []
        if self.importance not in IMPORTANCES:
            problems.append(unknown("importance", self.importance, IMPORTANCES))
        if self.scope not in SCOPES:
            problems.append(unknown("scope", self.scope, SCOPES))
        if not 0 < self.max_ratio < 1:
            problems.append(f"max_ratio {self.max_ratio} lies outside (0, 1)")
        for name, ratio in {"ratio": self.ratio, **self.layer_ratios}.items():
            if not 0 <= ratio <= self.max_ratio:
                problems.append(f"{name} {ratio} lies outside [0, max_ratio {self.max_ratio}]")
        if self.target_macs < 0 or self.target_params < 0:
            problems.append("a target is negative")
        if self.ratio and (self.target_macs or self.target_params):
            problems.append("give a ratio or a target, not both")
        if self.round_to < 1:
            problems.append(f"round_to is {self.round_to}, expected at least 1")
        if problems:
            raise UsageError("prune: " + "; ".join(problems))

    @property
    def asks_for_anything(self) -> bool:
        """Whether any channel is meant to go."""
        return bool(self.ratio or self.target_macs or self.target_params or self.layer_ratios)

    def to_step(self) -> dict[str, Any]:
        """Return the JSON values a checkpoint's prune step records."""
        return {**dataclasses.asdict(self), "layer_ratios": dict(self.layer_ratios)}
