"""The runtimes a bundle can run on: one module each, imported when it is opened."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.nearest import unknown
from edgeseg.errors import BackendUnavailable, UsageError
from edgeseg.target.backends.base import Backend, BackendIo

__all__ = ["BACKENDS", "Backend", "BackendIo", "missing_package", "open_backend"]

# name: "module:Class". The name is also the pip extra that installs the runtime.
BACKENDS = {
    "onnxruntime": "edgeseg.target.backends.onnxruntime:OnnxRuntimeBackend",
    "openvino": "edgeseg.target.backends.openvino:OpenVinoBackend",
}
# The packages a backend imports; none of them is imported to look for it.
PACKAGES = {
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino",),
}


def missing_package(name: str) -> str | None:
    """Return the first package that backend `name` lacks on this machine, None if it lacks none."""
    for package in PACKAGES[name]:
        if importlib.util.find_spec(package) is None:
            return package
    return None


def open_backend(name: str, bundle: Bundle, **options: Any) -> Backend:
    """Load a bundle on a runtime.

    Args:
        name: a key of BACKENDS.
        bundle: what to run.
        **options: keyword arguments of the backend's class, e.g. `threads=2`.

    Raises:
        UsageError: unknown backend or option.
        BackendUnavailable: the runtime's package is not installed or cannot be imported.
        BackendError: the runtime refuses the graph.
    """
    if name not in BACKENDS:
        raise UsageError(unknown("backend", name, BACKENDS))
    package = missing_package(name)
    if package is not None:
        raise BackendUnavailable(
            f"backend {name!r} needs the package {package}, which is not installed here; "
            f"pip install 'edgeseg[{name}]'"
        )
    module_name, class_name = BACKENDS[name].split(":")
    try:
        backend_class = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise BackendUnavailable(
            f"backend {name!r} is installed but cannot be imported ({error}); "
            f"pip install --force-reinstall 'edgeseg[{name}]'"
        ) from error
    known = [key for key in inspect.signature(backend_class).parameters if key != "bundle"]
    for key in options:
        if key not in known:
            raise UsageError(unknown(f"option of backend {name}", key, known))
    backend: Backend = backend_class(bundle, **options)
    return backend
