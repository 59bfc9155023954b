"""Observers by name: how calibration chooses the range of a tensor."""

from __future__ import annotations

from edgeseg.core.registry import Registry

# An entry is a function that takes the option `percentile` and returns a new Observer.
OBSERVERS = Registry(
    "observer",
    "observers",
    {
        "max": "edgeseg.host.quantization.observers.max:max_observer",
        "percentile": "edgeseg.host.quantization.observers.percentile:percentile_observer",
        "entropy": "edgeseg.host.quantization.observers.entropy:entropy_observer",
        "mse": "edgeseg.host.quantization.observers.mse:mse_observer",
    },
)
