"""Semantic segmentation for a Jetson camera: train, quantize, and measure what it costs.

Names below load the module that holds them on first use, so `import edgeseg` stays cheap and
pulls in neither torch nor a runtime.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# name -> the module that holds it.
_HOMES = {
    "BACKENDS": "edgeseg.runtime.backends",
    "BackendUnavailable": "edgeseg.errors",
    "Bundle": "edgeseg.core.bundle",
    "BundleError": "edgeseg.errors",
    "ConfusionMatrix": "edgeseg.core.metrics.confusion",
    "EdgesegError": "edgeseg.errors",
    "ModelSpec": "edgeseg.core.spec",
    "Preprocess": "edgeseg.core.spec",
    "Recipe": "edgeseg.core.recipe",
    "Report": "edgeseg.core.report",
    "SyntheticDrive": "edgeseg.core.synthetic.drive",
    "bench": "edgeseg.runtime.api",
    "build_model": "edgeseg.host.models",
    "evaluate": "edgeseg.runtime.api",
    "export": "edgeseg.host.export.job",
    "load": "edgeseg.runtime.prediction.model",
    "open_backend": "edgeseg.runtime.backends",
    "open_dataset": "edgeseg.core.data.open",
    "prune": "edgeseg.host.api",
    "qat": "edgeseg.host.api",
    "quantize": "edgeseg.host.api",
    "read_bundle": "edgeseg.core.zoo",
    "train": "edgeseg.host.api",
    "tune": "edgeseg.host.api",
}

if TYPE_CHECKING:
    from edgeseg.core.bundle import Bundle
    from edgeseg.core.data.open import open_dataset
    from edgeseg.core.metrics.confusion import ConfusionMatrix
    from edgeseg.core.recipe import Recipe
    from edgeseg.core.report import Report
    from edgeseg.core.spec import ModelSpec, Preprocess
    from edgeseg.core.synthetic.drive import SyntheticDrive
    from edgeseg.core.zoo import read_bundle
    from edgeseg.errors import BackendUnavailable, BundleError, EdgesegError
    from edgeseg.host.api import prune, qat, quantize, train, tune
    from edgeseg.host.export.job import export
    from edgeseg.host.models import build_model
    from edgeseg.runtime.api import bench, evaluate
    from edgeseg.runtime.backends import BACKENDS, open_backend
    from edgeseg.runtime.prediction.model import load

__all__ = [
    "BACKENDS",
    "BackendUnavailable",
    "Bundle",
    "BundleError",
    "ConfusionMatrix",
    "EdgesegError",
    "ModelSpec",
    "Preprocess",
    "Recipe",
    "Report",
    "SyntheticDrive",
    "bench",
    "build_model",
    "evaluate",
    "export",
    "load",
    "open_backend",
    "open_dataset",
    "prune",
    "qat",
    "quantize",
    "read_bundle",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'edgeseg' has no attribute {name!r}")
    try:
        return getattr(importlib.import_module(home), name)
    except ModuleNotFoundError as error:
        if not home.startswith("edgeseg.host") or str(error.name).startswith("edgeseg"):
            raise
        from edgeseg.errors import BackendUnavailable

        raise BackendUnavailable(
            f"edgeseg.{name} needs {error.name}, not installed here; pip install 'edgeseg[host]'"
        ) from error


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
