"""Opens a bundle on a runtime; BACKENDS is the only list of the runtimes."""

from __future__ import annotations

import inspect
from typing import Any

from edgeseg.core.bundle import Bundle
from edgeseg.core.packages import is_installed
from edgeseg.core.registry import Registry
from edgeseg.core.suggest import unknown
from edgeseg.errors import BackendUnavailable, EdgesegError, UsageError
from edgeseg.runtime.backends.base import Backend
from edgeseg.runtime.cuda.gpu import find_gpu

# name: "module:Class". The name of one of ours is also the pip extra that installs its runtime. The
# first that works here is the default, so a board's GPU comes before its CPU.
BACKENDS = Registry(
    "backend",
    "backends",
    {
        "tensorrt": "edgeseg.runtime.backends.tensorrt:TensorRtBackend",
        "onnxruntime": "edgeseg.runtime.backends.onnxruntime:OnnxRuntimeBackend",
        "openvino": "edgeseg.runtime.backends.openvino:OpenVinoBackend",
        "torch_tensorrt": "edgeseg.runtime.backends.torch_tensorrt:TorchTensorRtBackend",
    },
)


def missing_package(name: str) -> str | None:
    """Return the first package that backend `name` lacks on this machine, None if it lacks none.

    Raises:
        UsageError: unknown backend, or one of an installed package that cannot be loaded.
    """
    kind: type[Backend] = BACKENDS.load(name)
    for packages in kind.packages:
        if not any(is_installed(package) for package in packages.split("|")):
            return packages.replace("|", " or ")
    return None


def cure(name: str, package: str) -> str:
    """Return what installs `package`, which backend `name` lacks."""
    kind: type[Backend] = BACKENDS.load(name)
    return kind.cures.get(package, f"pip install {_pip_name(name, package)}")


def why_unavailable(name: str) -> str | None:
    """Return why backend `name` cannot run on this machine, None if it can."""
    try:
        package = missing_package(name)
        if package is not None:
            return f"no package {package}"
        if BACKENDS.load(name).needs_gpu:
            find_gpu()
    except EdgesegError as error:
        return str(error)
    return None


def option_names(name: str) -> list[str]:
    """Return the keyword arguments that backend `name` is opened with."""
    return [key for key in inspect.signature(BACKENDS.load(name)).parameters if key != "bundle"]


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
    package = missing_package(name)
    if package is not None:
        raise BackendUnavailable(
            f"backend {name!r} needs the package {package}, which is not installed here; "
            f"{cure(name, package)}"
        )
    known = option_names(name)
    for key in options:
        if key not in known:
            raise UsageError(unknown(f"option of backend {name}", key, known))
    try:
        backend: Backend = BACKENDS.load(name)(bundle, **options)
    except ImportError as error:
        raise BackendUnavailable(
            f"backend {name!r} is installed but cannot be imported ({error}); "
            f"pip install --force-reinstall {_pip_name(name, error.name or name)}"
        ) from error
    return backend


def _pip_name(name: str, package: str) -> str:
    """Return what pip installs: our extra for a backend of ours, else the package itself."""
    ours = BACKENDS[name].startswith("edgeseg.")
    return f"'edgeseg[{name.replace('_', '-')}]'" if ours else package
