"""Observers by name: how calibration chooses the range of a tensor."""

from __future__ import annotations

from edgeseg.core.registry import Registry

# An entry is a function that takes the option `percentile` and returns a new Observer.
OBSERVERS = Registry(
    "observer",
    "observers",
    {
        name: f"edgeseg.host.quantization.observers.{name}:{name}_observer"
        for name in ("max", "percentile", "entropy", "mse")
    },
)
