"""TensorRT's runtime half: its module, log and plugins, and engines out of plans; 8.6 to 11.

TensorRT ends the process when there is no CUDA driver: load_tensorrt looks for it first.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from edgeseg.errors import BackendError, BackendUnavailable
from edgeseg.runtime.cuda.gpu import find_gpu
from edgeseg.runtime.engine.layer_report import LayerReport, layers_from_inspector

OUT_OF_MEMORY = re.compile(
    r"out of memory|outofmemory|insufficient memory|memoryallocation|could not be allocated"
    r"|bad_alloc",
    re.IGNORECASE,
)
# TensorRT's own words in 8.6 to 11 for a plan of another release and for bytes that are no plan.
OTHER_VERSION = re.compile(
    r"not compatible with this version|version tag does not match|expecting library version"
    r"|serializationversion",
    re.IGNORECASE,
)
NO_PLAN = re.compile(r"magic ?tag|corrupt|checksum|deserialization failed|header", re.IGNORECASE)
KEPT_MESSAGES = 50
Made = TypeVar("Made")


def load_tensorrt() -> Any:
    """Import TensorRT's Python module, after the driver was looked for.

    Raises:
        BackendUnavailable: no driver, no device, or no TensorRT.
    """
    find_gpu()
    try:
        import tensorrt as trt
    except ImportError as error:
        raise BackendUnavailable(
            f"TensorRT's Python module cannot be imported ({error}); on a Jetson apt-get install "
            "python3-libnvinfer and make the venv with --system-site-packages"
        ) from error
    if not hasattr(trt, "Logger"):
        # tensorrt-stubs leaves an empty package of that name behind.
        raise BackendUnavailable(
            "the installed package tensorrt is empty, as tensorrt-stubs leaves it; pip uninstall "
            "tensorrt-stubs, and on a Jetson make the venv with --system-site-packages"
        )
    return trt


def is_strongly_typed(trt: Any) -> bool:
    """Return whether this TensorRT takes every type from the graph: it has no INT8 flag."""
    return not hasattr(trt.BuilderFlag, "INT8")


def reads_int8_weights(version: str) -> bool:
    """Return whether a TensorRT takes a lone DequantizeLinear behind an int8 weight: 10 and later.

    No name of the bindings tells; see core/graph/float_weights.py for where this is written down.
    """
    return int(version.split(".")[0]) >= 10


def make_log(trt: Any) -> Any:
    """Return a logger that keeps errors and warnings and prints nothing.

    Its `errors` and `warnings` are lists of lines, the newest last.
    """

    class Log(trt.ILogger):  # type: ignore[misc] # the base is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.warnings: list[str] = []

        def log(self, severity: Any, msg: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                del self.errors[: len(self.errors) - KEPT_MESSAGES]
                self.errors.append(msg)
            elif severity == trt.ILogger.WARNING:
                del self.warnings[: len(self.warnings) - KEPT_MESSAGES]
                self.warnings.append(msg)

    return Log()


def load_plugins(trt: Any, log: Any, plugin: Path | None) -> None:
    """Register TensorRT's own plugins and those of a library.

    Raises:
        BackendError: the library cannot be loaded.
    """
    trt.init_libnvinfer_plugins(log, "")
    if plugin is None:
        return
    try:
        handle = trt.get_plugin_registry().load_library(str(plugin))
    except Exception as error:
        raise BackendError(f"plugin library {plugin} cannot be loaded: {error}") from error
    if handle is None:
        raise BackendError(
            f"plugin library {plugin} cannot be loaded{because(log)}; build it against this "
            "TensorRT, see deploy/plugin"
        )


class NoRoomForEngine(BackendError):
    """The plan is sound, the device's memory is taken; building again would want more of it."""


def open_engine(runtime: Any, plan: bytes, log: Any, version: str) -> Any:
    """Deserialize a plan.

    Raises:
        NoRoomForEngine: there is no memory for it.
        BackendError: it is of another TensorRT or GPU, or damaged.
    """
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is not None:
        return engine
    said = " ".join(log.errors)
    if OUT_OF_MEMORY.search(said):
        raise NoRoomForEngine(
            f"no memory for the engine{because(log)}; close other programs or the desktop"
        )
    if OTHER_VERSION.search(said):
        raise BackendError(
            f"the plan is of another TensorRT than {version}{because(log)}; "
            "build it again with edgeseg build"
        )
    if NO_PLAN.search(said):
        raise BackendError(f"the plan is damaged{because(log)}; build it again with edgeseg build")
    raise BackendError(
        f"TensorRT {version} cannot load the plan{because(log)}; build it again with edgeseg build"
    )


def open_runtime(trt: Any, log: Any) -> Any:
    """Return a runtime; the driver must have been looked for."""
    return made(trt.Runtime, log, str(trt.__version__))


def inspect(trt: Any, engine: Any) -> tuple[LayerReport, str]:
    """Return what the engine's layers compute in, and the inspector's own JSON text."""
    inspector = engine.create_engine_inspector()
    text = str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))
    return layers_from_inspector(text), text


def device_memory_bytes(engine: Any) -> int | None:
    """Return the engine's scratch memory on the device, under its old or its new name."""
    for name in ("device_memory_size_v2", "device_memory_size"):
        size = getattr(engine, name, None)
        if size is not None:
            return int(size)
    return None


def made(factory: Callable[[Any], Made], log: Any, version: str) -> Made:
    """Return factory(log): a builder or a runtime.

    Raises:
        BackendUnavailable: the library gives none.
    """
    try:
        return factory(log)
    except TypeError as error:
        # The bindings' way to say that the library gave a null pointer.
        raise BackendUnavailable(
            f"TensorRT {version} does not start on this machine{because(log)}; its libraries and "
            "the CUDA driver may not fit each other, run edgeseg doctor"
        ) from error


def because(log: Any) -> str:
    """Return the log's last error in brackets, nothing where it has none."""
    return f" ({one_line(log.errors[-1])})" if log.errors else ""


def one_line(text: str) -> str:
    """Join the lines of a message and cut it at 240 characters."""
    text = " ".join(text.split())
    return text if len(text) <= 240 else text[:237] + "..."
