"""Which runtime a verb uses: the named one, or those that are installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from edgeseg.errors import BackendUnavailable


def installed_backends() -> list[str]:
    """Return the backends that can run on this machine, in the order of BACKENDS."""
    from edgeseg.runtime.backends import BACKENDS, why_unavailable

    return [name for name in BACKENDS if why_unavailable(name) is None]


def backend_options(name: str, threads: int) -> dict[str, Any]:
    """Return the keyword arguments with which the command line opens backend `name`.

    EDGESEG_CACHE names the folder of TensorRT's engines, EDGESEG_PLUGIN a library with plugins.
    """
    from edgeseg.runtime.backends import ON_GPU

    options: dict[str, Any] = {"threads": threads or None}
    if name in ON_GPU:
        options["cache"] = engine_cache()
        if name == "tensorrt" and os.environ.get("EDGESEG_PLUGIN"):
            options["plugin"] = Path(os.environ["EDGESEG_PLUGIN"])
    return options


def engine_cache() -> Path | None:
    """Return the folder that EDGESEG_CACHE names, None for the default one."""
    given = os.environ.get("EDGESEG_CACHE")
    return Path(given) if given else None


def chosen_backends(names: tuple[str, ...]) -> list[str]:
    """Return the named backends, or all installed ones when none is named.

    Raises:
        BackendUnavailable: none is named and none is installed.
    """
    found = list(names) or installed_backends()
    if not found:
        raise BackendUnavailable(
            "no runtime is installed here; pip install 'edgeseg[onnxruntime]' or "
            "'edgeseg[openvino]'"
        )
    return found


def first_backend(name: str | None) -> str:
    """Return the named backend, or the first installed one."""
    return chosen_backends((name,) if name else ())[0]
