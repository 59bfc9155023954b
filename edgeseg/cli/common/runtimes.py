"""The options of a runtime that come from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any


def backend_options(name: str, threads: int) -> dict[str, Any]:
    """Return the keyword arguments with which the command line opens backend `name`.

    EDGESEG_CACHE names the folder of TensorRT's engines, EDGESEG_PLUGIN a library with plugins.
    """
    from edgeseg.runtime.backends.choose import options_for

    return options_for(name, threads, cache=engine_cache(), plugin=engine_plugin())


def engine_cache() -> Path | None:
    """Return the folder that EDGESEG_CACHE names, None for the default one."""
    given = os.environ.get("EDGESEG_CACHE")
    return Path(given) if given else None


def engine_plugin() -> Path | None:
    """Return the library that EDGESEG_PLUGIN names, None for none."""
    given = os.environ.get("EDGESEG_PLUGIN")
    return Path(given) if given else None
