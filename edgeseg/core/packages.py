"""Whether an optional package is here, told without importing it."""

from __future__ import annotations

import importlib.util


def is_installed(module: str) -> bool:
    """Tell whether a module can be imported: more than an empty folder of its name.

    Nothing but its parent packages is imported: some runtimes end the process when they are
    imported on a machine without their driver.
    """
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return False
    if spec is None:
        return False
    # cuda.bindings is a real package without a file of its own in some releases.
    return spec.origin is not None or module == "cuda.bindings"
