"""Builds a plan with TensorRT 8.6 to 11; looks for features, not for version numbers."""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Sequence
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

# The builder's words where a layer has no kernel of the types that Q/DQ ask for.
NO_KERNEL = re.compile(r"Could not find any implementation for node (.+)", re.IGNORECASE)
# A network that has lost so many convolutions to float is no INT8 network any more.
MOST_FLOATS = 32


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
        level: optimization level 0-5, -1 for TensorRT's own.
        timing: file of an earlier build's kernel times; need not exist.
        plugin: library with plugins, None for none.
        edits: keys of EDITS, done to the graph in this order.
        opset: newest whose definitions the parser reads.
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
    edits: tuple[str, ...] = ()
    opset: int = 18


@dataclasses.dataclass(frozen=True)
class Built:
    """A plan and what is known of it.

    Attributes:
        plan: the serialized engine.
        timing: the timing cache after the build, empty where it cannot be had.
        layers: the engine inspector's account.
        facts: seconds, device memory in bytes, typing, warnings, layers a DLA could take;
            `float_convolutions` are those that lost their Q/DQ for want of an INT8 kernel,
            `not_halved` is why the float parts stayed FP32, empty where they did not.
        inspected: the inspector's JSON text, which trtexec --exportLayerInfo writes too.
    """

    plan: bytes
    timing: bytes
    layers: LayerReport
    facts: dict[str, Any]
    inspected: str = ""


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
    load_plugins(trt, log, request.plugin)
    floats: list[str] = []
    timing = _known_times(request.timing)
    start = time.monotonic()
    while True:
        data, not_halved = _graph(request, floats)
        attempt = _attempt(trt, log, request, data, timing, progress)
        timing = _timing_cache(attempt.config)
        if attempt.plan is not None:
            break
        more = _without_kernel(request, log, floats)
        if not more:
            raise _build_error(request, str(trt.__version__), log)
        floats.extend(more)
        progress(0, None, f"no INT8 kernel for {', '.join(more)}: again with these in float")
        log.errors.clear()
    seconds = time.monotonic() - start
    version = str(trt.__version__)
    plan = bytes(attempt.plan)
    runtime = made(trt.Runtime, log, version)
    engine = open_engine(runtime, plan, log, version)
    layers, inspected = inspect(trt, engine)
    return Built(
        plan=plan,
        timing=timing,
        layers=layers,
        inspected=inspected,
        facts={
            "seconds": round(seconds, 3),
            "device_memory_bytes": device_memory_bytes(engine),
            "strongly_typed": is_strongly_typed(trt),
            "warnings": len(log.warnings),
            "dla": attempt.dla,
            "not_halved": not_halved,
            "float_convolutions": floats,
        },
    )


@dataclasses.dataclass(frozen=True)
class _Attempt:
    """What one call of the builder gave; `plan` is None where it failed."""

    plan: Any
    config: Any
    dla: dict[str, int]


def _attempt(
    trt: Any,
    log: Any,
    request: BuildRequest,
    data: bytes,
    timing: bytes,
    progress: Callable[..., None],
) -> _Attempt:
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
    _use_timing_cache(config, timing)
    monitor = _monitor(trt, progress)
    if monitor is not None:
        config.progress_monitor = monitor
    dla = _dla_layers(builder, network, config)
    progress(0, None, "building")
    return _Attempt(builder.build_serialized_network(network, config), config, dla)


def _without_kernel(request: BuildRequest, log: Any, floats: list[str]) -> list[str]:
    """Return quantized convolutions for which the builder found no kernel; none gives up."""
    said = [found for error in log.errors for found in NO_KERNEL.findall(error)]
    if request.precision != "int8" or not said or len(floats) >= MOST_FLOATS:
        return []
    import onnx

    from edgeseg.core.graph.float_convolutions import convolutions_in
    from edgeseg.core.graph.view import GraphView

    view = GraphView(onnx.load_from_string(_graph(request, floats)[0]))
    return [name for text in said for name in convolutions_in(view, text)]


def _graph(request: BuildRequest, floats: Sequence[str] = ()) -> tuple[bytes, str]:
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
    edited = request.halved or request.unquantized or request.float_weights or request.edits
    if not edited and not floats:
        return data, ""
    try:
        import onnx

        from edgeseg.core.graph.engine_edits import EDITS
        from edgeseg.core.graph.float_convolutions import with_float_convolutions
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
    if floats:
        data = with_float_convolutions(onnx.load_from_string(data), floats).SerializeToString()
    if request.unquantized:
        data = without_quantization(data)
    for name in request.edits:
        try:
            edited_model = EDITS.load(name)(onnx.load_from_string(data), opset=request.opset)
            data = edited_model.SerializeToString()
        except ExportError as error:
            raise BackendError(f"{request.onnx} takes no {name}: {error}") from error
    if request.float_weights and not request.unquantized:
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


def _known_times(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _use_timing_cache(config: Any, known: bytes) -> None:
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
