"""QuantizeOptions: how a network is quantized."""

from __future__ import annotations

import dataclasses
from typing import Any

from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError
from edgeseg.host.quantization.observers import OBSERVERS


@dataclasses.dataclass(frozen=True)
class QuantizeOptions:
    """How a network is quantised.

    Attributes:
        observer: how a range is chosen: a name in OBSERVERS.
        percentile: for "percentile", the share of non-zero magnitudes kept, in per cent.
        keep_float: convolutions that stay in float.
        equalize: even out the weights' ranges across layers first (arXiv 1906.04721).
        bias_correct: put the mean rounding error of each layer into its bias (likewise).
        adaround: steps by which each layer's rounding is chosen (arXiv 2004.10568); 0 is nearest.
        learned_scales: make the calibrated scales parameters, for QAT to learn (LSQ).
    """

    observer: str = "entropy"
    percentile: float = 99.99
    keep_float: tuple[str, ...] = ()
    equalize: bool = False
    bias_correct: bool = False
    adaround: int = 0
    learned_scales: bool = False

    def __post_init__(self) -> None:
        """Refuse values no observer could use, all at once."""
        problems = []
        if self.observer not in OBSERVERS:
            problems.append(unknown("observer", self.observer, OBSERVERS))
        if not 50.0 < self.percentile <= 100.0:
            problems.append(f"percentile {self.percentile} lies outside (50, 100]")
        if self.adaround < 0:
            problems.append(f"adaround is {self.adaround}, expected a number of steps or 0")
        if problems:
            raise UsageError("quantize: " + "; ".join(problems))

    @classmethod
    def from_step(cls, options: Any) -> QuantizeOptions:
        """Read the options a checkpoint's quantize step recorded."""
        known = [field.name for field in dataclasses.fields(cls)]
        given = {key: options[key] for key in known if key in options}
        if "keep_float" in given:
            given["keep_float"] = tuple(given["keep_float"])
        return cls(**given)

    def to_step(self) -> dict[str, Any]:
        """Return the JSON values that from_step reads."""
        return {**dataclasses.asdict(self), "keep_float": list(self.keep_float)}
