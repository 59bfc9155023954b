"""The runtimes a bundle can run on: one module each, imported when it is opened."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.suggest import unknown
from edgeseg.errors import BackendUnavailable, UsageError
from edgeseg.runtime.backends.base import Backend, BackendIo
from edgeseg.runtime.cuda.gpu import find_gpu, found

__all__ = [
    "BACKENDS",
    "Backend",
    "BackendIo",
    "extra_of",
    "missing_package",
    "open_backend",
    "why_unavailable",
]

# name: "module:Class". The name is also the pip extra that installs the runtime. The first that
# works here is the default, so a board's GPU comes before its CPU.
BACKENDS = {
    "tensorrt": "edgeseg.runtime.backends.tensorrt:TensorRtBackend",
    "onnxruntime": "edgeseg.runtime.backends.onnxruntime:OnnxRuntimeBackend",
    "openvino": "edgeseg.runtime.backends.openvino:OpenVinoBackend",
    "torch_tensorrt": "edgeseg.runtime.backends.torch_tensorrt:TorchTensorRtBackend",
}
# The packages a backend imports; none of them is imported to look for it. Of names joined by "|"
# one is enough.
PACKAGES = {
    "tensorrt": ("tensorrt", "cuda.bindings|pycuda"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "openvino": ("openvino", "onnx"),
    "torch_tensorrt": ("torch", "tensorrt", "torch_tensorrt"),
}
CURES = {
    "tensorrt": "on a Jetson apt-get install python3-libnvinfer and make the venv with "
    "--system-site-packages; on a PC pip install 'edgeseg[tensorrt]'"
}
# Backends that need a GPU and its driver beside their packages.
ON_GPU = ("tensorrt", "torch_tensorrt")


def missing_package(name: str) -> str | None:
    """Return the first package that backend `name` lacks on this machine, None if it lacks none."""
    for packages in PACKAGES[name]:
        if not any(found(package) for package in packages.split("|")):
            return packages.replace("|", " or ")
    return None


def why_unavailable(name: str) -> str | None:
    """Return why backend `name` cannot run on this machine, None if it can."""
    package = missing_package(name)
    if package is not None:
        return f"no package {package}"
    if name in ON_GPU:
        try:
            find_gpu()
        except BackendUnavailable as error:
            return str(error)
    return None


def extra_of(name: str) -> str:
    """Return the pip extra that installs backend `name`."""
    return name.replace("_", "-")


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
        cure = CURES.get(package, f"pip install 'edgeseg[{extra_of(name)}]'")
        raise BackendUnavailable(
            f"backend {name!r} needs the package {package}, which is not installed here; {cure}"
        )
    module_name, class_name = BACKENDS[name].split(":")
    try:
        backend_class = getattr(importlib.import_module(module_name), class_name)
    except ImportError as error:
        raise BackendUnavailable(
            f"backend {name!r} is installed but cannot be imported ({error}); "
            f"pip install --force-reinstall 'edgeseg[{extra_of(name)}]'"
        ) from error
    known = [key for key in inspect.signature(backend_class).parameters if key != "bundle"]
    for key in options:
        if key not in known:
            raise UsageError(unknown(f"option of backend {name}", key, known))
    backend: Backend = backend_class(bundle, **options)
    return backend
