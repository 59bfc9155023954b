"""Builds a plan with TensorRT 8.6 to 11; looks for features, not for version numbers."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgeseg.errors import BackendError, BackendUnavailable, ExportError
from edgeseg.runtime.engine.layer_report import LayerReport
from edgeseg.runtime.engine.tensorrt_api import (
    OUT_OF_MEMORY,
    because,
    device_memory_bytes,
    inspect,
    is_strongly_typed,
    load_plugins,
    load_tensorrt,
    made,
    make_log,
    one_line,
    open_engine,
)


@dataclasses.dataclass(frozen=True)
class BuildRequest:
    """What to build; it crosses to another process.

    Attributes:
        onnx: the graph's file.
        digest: the SHA-256 the file must have.
        precision: "int8", "fp16" or "fp32".
        unquantized: take the Q/DQ nodes out first.
        halved: type the float parts FP16 first: a strongly typed TensorRT, and a bundle that does
            not carry that form.
        float_weights: carry int8 weights as floats with a Q/DQ pair: a TensorRT below 10.
        workspace_bytes: most scratch memory of a kernel.
        level: optimisation level 0-5, -1 for TensorRT's own.
        timing: file of an earlier build's kernel times; need not exist.
        plugin: library with plugins, None for none.
    """

    onnx: Path
    digest: str
    precision: str
    unquantized: bool
    halved: bool
    workspace_bytes: int
    level: int
    timing: Path
    plugin: Path | None = None
    float_weights: bool = False


@dataclasses.dataclass(frozen=True)
class Built:
    """A plan and what is known of it.

    Attributes:
        plan: the serialised engine.
        timing: the timing cache after the build, empty where it cannot be had.
        layers: the engine inspector's account.
        facts: seconds, device memory in bytes, typing, warnings, layers a DLA could take;
            `not_halved` is why the float parts stayed FP32, empty where they did not.
    """

    plan: bytes
    timing: bytes
    layers: LayerReport
    facts: dict[str, Any]


def build_plan(
    request: BuildRequest, *, progress: Callable[..., None] = lambda *args: None
) -> Built:
    """Build a plan on this machine's GPU.

    Raises:
        BackendUnavailable: no driver or no TensorRT.
        BackendError: the file changed, TensorRT refuses the graph, or memory ran out.
    """
    trt = load_tensorrt()
    log = make_log(trt)
    data, not_halved = _graph(request)
    load_plugins(trt, log, request.plugin)
    version = str(trt.__version__)
    builder = made(trt.Builder, log, version)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(data):
        raise BackendError(
            f"TensorRT {version} cannot read {request.onnx}: {_parser_errors(parser, log)}; "
            "run edgeseg doctor for the versions, and export the bundle again"
        )
    config = builder.create_builder_config()
    _configure(trt, config, request)
    _use_timing_cache(config, request.timing)
    monitor = _monitor(trt, progress)
    if monitor is not None:
        config.progress_monitor = monitor
    dla = _dla_layers(builder, network, config)
    progress(0, None, "building")
    start = time.monotonic()
    plan = builder.build_serialized_network(network, config)
    seconds = time.monotonic() - start
    if plan is None:
        raise _build_error(request, version, log)
    data = bytes(plan)
    runtime = made(trt.Runtime, log, version)
    engine = open_engine(runtime, data, log, version)
    return Built(
        plan=data,
        timing=_timing_cache(config),
        layers=inspect(trt, engine),
        facts={
            "seconds": round(seconds, 3),
            "device_memory_bytes": device_memory_bytes(engine),
            "strongly_typed": is_strongly_typed(trt),
            "warnings": len(log.warnings),
            "dla": dla,
            "not_halved": not_halved,
        },
    )


def _graph(request: BuildRequest) -> tuple[bytes, str]:
    """Return the graph to build, and why its float parts are not FP16 although they should be."""
    import hashlib

    try:
        data = request.onnx.read_bytes()
    except OSError as error:
        raise BackendError(f"{request.onnx} cannot be read ({error.strerror})") from error
    if hashlib.sha256(data).hexdigest() != request.digest:
        raise BackendError(
            f"{request.onnx} has changed since the bundle was opened; copy the bundle again"
        )
    if not (request.halved or request.unquantized or request.float_weights):
        return data, ""
    try:
        import onnx

        from edgeseg.core.graph.float_weights import with_float_weights
        from edgeseg.core.graph.fp16_islands import with_fp16_islands
        from edgeseg.core.graph.strip_quantization import without_quantization
    except ImportError as error:
        raise BackendUnavailable(
            f"the {request.precision} engine of this bundle needs the package onnx; "
            "pip install 'edgeseg[tensorrt]'"
        ) from error
    not_halved = ""
    if request.halved:
        try:
            data = with_fp16_islands(onnx.load_from_string(data)).SerializeToString()
        except ExportError as error:
            if request.precision == "fp16":
                raise BackendError(f"{request.onnx} gives no FP16 graph: {error}") from error
            not_halved = str(error)
    if request.unquantized:
        data = without_quantization(data)
    elif request.float_weights:
        try:
            data = with_float_weights(onnx.load_from_string(data)).SerializeToString()
        except ExportError as error:
            raise BackendError(f"{request.onnx} cannot be built here: {error}") from error
    return data, not_halved


def _network_flags(trt: Any) -> int:
    names = ["EXPLICIT_BATCH"]
    if is_strongly_typed(trt):
        names.append("STRONGLY_TYPED")
    flags = (getattr(trt.NetworkDefinitionCreationFlag, name, None) for name in names)
    return sum(1 << int(flag) for flag in flags if flag is not None)


def _configure(trt: Any, config: Any, request: BuildRequest) -> None:
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_bytes)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    if request.level >= 0:
        config.builder_optimization_level = request.level
    wanted = {"int8": ("INT8", "FP16"), "fp16": ("FP16",), "fp32": ()}[request.precision]
    for name in wanted:
        flag = getattr(trt.BuilderFlag, name, None)
        if flag is not None:
            config.set_flag(flag)
    if request.precision != "fp32":
        # Off by default. The builder looks at each weight itself and times sparse kernels against
        # dense ones where it finds 2:4 zeros; a dense weight is built as before.
        config.set_flag(trt.BuilderFlag.SPARSE_WEIGHTS)
    else:
        # TF32 keeps ten bits of the fraction; a baseline called FP32 keeps all.
        config.clear_flag(trt.BuilderFlag.TF32)


def _use_timing_cache(config: Any, path: Path) -> None:
    try:
        known = path.read_bytes()
    except OSError:
        known = b""
    cache = config.create_timing_cache(known)
    if cache is None or not config.set_timing_cache(cache, False):
        # Of another TensorRT or GPU, or damaged: start an empty one.
        config.set_timing_cache(config.create_timing_cache(b""), False)


def _timing_cache(config: Any) -> bytes:
    cache = config.get_timing_cache()
    return b"" if cache is None else bytes(cache.serialize())


def _monitor(trt: Any, progress: Callable[..., None]) -> Any:
    """Return a progress monitor, None where this TensorRT has none (8.6)."""
    base: Any = getattr(trt, "IProgressMonitor", None)
    if base is None:
        return None

    class Monitor(base):  # type: ignore[misc] # the base is known at run time only
        """Tells how far the outermost phase is; inner phases come and go by the hundred."""

        def __init__(self) -> None:
            # pybind11 wants the base's own __init__ called.
            trt.IProgressMonitor.__init__(self)
            self._outer: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            if not parent_phase:
                self._outer[phase_name] = num_steps
                progress(0, num_steps, phase_name)

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._outer:
                progress(step + 1, self._outer[phase_name], phase_name)
            return True

        def phase_finish(self, phase_name: str) -> None:
            self._outer.pop(phase_name, None)

    return Monitor()


def _dla_layers(builder: Any, network: Any, config: Any) -> dict[str, int]:
    """Count what a DLA could take; nothing is placed on it."""
    cores = int(builder.num_DLA_cores)
    able = 0
    if cores:
        able = sum(
            bool(config.can_run_on_DLA(network.get_layer(i))) for i in range(network.num_layers)
        )
    return {"cores": cores, "layers": int(network.num_layers), "able": able}


def _build_error(request: BuildRequest, version: str, log: Any) -> BackendError:
    if OUT_OF_MEMORY.search(" ".join((*log.errors, *log.warnings))):
        return BackendError(
            f"TensorRT {version} ran out of memory while building {request.onnx}{because(log)}; "
            "close other programs or the desktop, add swap, or give a smaller --workspace"
        )
    return BackendError(
        f"TensorRT {version} cannot build {request.onnx}{because(log)}; "
        "trtexec --onnx=model.onnx shows whether it is the graph"
    )


def _parser_errors(parser: Any, log: Any) -> str:
    found = []
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        named = getattr(error, "node_name", None)
        where = f" at {named()}" if callable(named) else f" at node {error.node()}"
        found.append(f"{error.desc()}{where}")
    return one_line("; ".join(found) or " ".join(log.errors) or "no reason given")
