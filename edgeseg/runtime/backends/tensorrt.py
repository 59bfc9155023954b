"""Runs a bundle on TensorRT; the engine is built and cached on the machine that runs it."""

from __future__ import annotations

import dataclasses
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import UInt8

from edgeseg.core.bundle import Bundle
from edgeseg.errors import BackendError
from edgeseg.runtime.backends.base import (
    INPUT,
    OUTPUT,
    Backend,
    BackendIo,
    check_frames,
    graph_shape,
)
from edgeseg.runtime.cuda.gpu import Cuda, find_gpu, open_cuda
from edgeseg.runtime.engine.cache import (
    AUTO,
    DEFAULT_CACHE,
    WORKSPACE_BYTES,
    Engine,
    EngineOptions,
    engine_from_bundle,
    engine_key,
)
from edgeseg.runtime.engine.fastest import find_fastest
from edgeseg.runtime.engine.graph_choice import graph_of
from edgeseg.runtime.engine.tensorrt_api import (
    NoRoomForEngine,
    is_strongly_typed,
    load_plugins,
    load_tensorrt,
    make_log,
    open_engine,
    open_runtime,
)
from edgeseg.runtime.telemetry import ROOT

LOG = logging.getLogger("edgeseg.engine")
# Two deep: while the GPU computes one frame, the next is copied in and the last copied out.
DEPTH = 2


class _Slot:
    """Buffers of one frame in flight, and the recorded graph that computes in them."""

    def __init__(self, cuda: Cuda, frame_shape: tuple[int, ...]) -> None:
        label_shape = frame_shape[:-1]
        self._cuda = cuda
        self._freed = False
        self.frame = cuda.allocate_pinned(frame_shape)
        self.labels = cuda.allocate_pinned(label_shape)
        self.frame_address = cuda.allocate(self.frame.nbytes)
        self.labels_address = cuda.allocate(self.labels.nbytes)
        self.copied, self.computed, self.done = (cuda.create_event() for _ in range(3))
        self.graph: int | None = None

    def free(self) -> None:
        if self._freed:
            return
        self._freed = True
        cuda = self._cuda
        if self.graph is not None:
            cuda.destroy_graph(self.graph)
        for event in (self.copied, self.computed, self.done):
            cuda.destroy_event(event)
        for address in (self.frame_address, self.labels_address):
            cuda.free(address)
        # Arrays over freed memory must not be reachable.
        frame, labels = self.frame, self.labels
        del self.frame, self.labels
        cuda.free_pinned(frame)
        cuda.free_pinned(labels)


class TensorRtBackend(Backend):
    """A bundle as a TensorRT engine.

    The engine comes from the cache or is built first, which takes minutes and is said on the
    log "edgeseg.engine" with the reason.
    """

    packages = ("tensorrt",)
    cures = MappingProxyType(
        {
            "tensorrt": "on a Jetson apt-get install python3-libnvinfer and make the venv with "
            "--system-site-packages; on a PC pip install 'edgeseg[tensorrt]'"
        }
    )
    needs_gpu = True

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int | None = None,
        precision: str = "",
        cache: Path | None = None,
        workspace_bytes: int = WORKSPACE_BYTES,
        level: int = -1,
        plugin: Path | None = None,
        rebuild: str = "",
        retry: bool = False,
        edits: tuple[str, ...] = (),
        graphs: bool = True,
        root: Path = ROOT,
        progress: Callable[..., None] = lambda *args: None,
    ) -> None:
        """Load the engine.

        Args:
            bundle: what to run.
            threads: has no effect; other backends take it.
            precision: "int8", "fp16" or "fp32"; empty takes the bundle's own. "auto" takes the
                engine that `edgeseg build` found fastest here, else the bundle's own, and FP16 of
                an INT8 bundle whose INT8 engine cannot be built.
            cache: folder of the engines; None takes ~/.cache/edgeseg/engines.
            workspace_bytes: most scratch memory a kernel may want while building.
            level: builder optimization level 0-5, -1 for TensorRT's own.
            plugin: library with plugins that the graph names.
            rebuild: a reason to build although the cache has an engine.
            retry: build although the last build of this engine failed.
            edits: keys of EDITS, done to the graph before it is built.
            graphs: record the inference as a CUDA graph where TensorRT and CUDA allow it.
            root: the file system's root, another one in tests.
            progress: told (done, total, note) while an engine is built.

        Raises:
            BackendUnavailable: no driver, or no TensorRT.
            BackendError: the engine cannot be built or loaded.
        """
        gpu = find_gpu()
        trt = load_tensorrt()
        self._closing: list[Callable[[], None]] = []
        self._context: Any = None
        self._kept: Any = None
        self._slots: list[_Slot] = []
        options = EngineOptions(precision, workspace_bytes, level, plugin, edits)
        folder = cache or Path.home() / DEFAULT_CACHE
        version = str(trt.__version__)
        try:
            cuda = self._cuda = open_cuda()
            self._closing.append(cuda.close)

            def engine(wanted: EngineOptions, reason: str) -> Engine:
                return engine_from_bundle(
                    bundle,
                    wanted,
                    gpu,
                    folder,
                    version=version,
                    strongly_typed=is_strongly_typed(trt),
                    rebuild=reason,
                    retry=retry,
                    root=root,
                    progress=progress,
                )

            strong = is_strongly_typed(trt)
            graph = graph_of(bundle, bundle.precision, strongly_typed=strong)
            key = engine_key(graph, options, gpu, version=version, root=root)
            choices = _choices(bundle, options, folder, key)
            chosen, self.engine = _first_built(
                choices, lambda wanted: engine(wanted, rebuild), bundle.name
            )
            log = make_log(trt)
            load_plugins(trt, log, plugin)
            runtime = open_runtime(trt, log)
            try:
                opened = open_engine(runtime, self.engine.path.read_bytes(), log, version)
            except BackendError as error:
                if self.engine.reason or isinstance(error, NoRoomForEngine):
                    raise
                # A plan that its sidecar vouches for and TensorRT still refuses: the libraries
                # changed under one version number.
                self.engine = engine(chosen, str(error))
                opened = open_engine(runtime, self.engine.path.read_bytes(), log, version)
            shape = _check_tensors(trt, opened, bundle)
            self._context = opened.create_execution_context()
            if self._context is None:
                raise BackendError(
                    "no memory for the engine's execution context; close other programs or the "
                    "desktop"
                )
            # TensorRT wants them alive as long as the context.
            self._kept = (runtime, opened, log)
            self._streams = [self._stream() for _ in range(3)]
            self._slots = [self._slot(shape) for _ in range(DEPTH)]
            self.io = BackendIo(
                runtime=f"tensorrt {version}",
                device=gpu.name,
                precision=self.engine.layers.precision,
                kernels=self.engine.layers.kernels,
                threads=None,
                frame_shape=shape,
            )
            self.memory = self.engine.memory
            for slot in self._slots:
                # The first run also makes TensorRT settle what a recording must not contain.
                slot.frame[...] = 0
                self._start(slot)
                self._finish(slot)
            self.graph_note = self._record() if graphs else "not asked for"
        except BaseException:
            self.close()
            raise

    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Return one label per pixel; see Backend.infer for who owns the array."""
        slot = self._first_slot()
        check_frames(frames, self.io)
        np.copyto(slot.frame, frames)
        self._start(slot)
        return self._finish(slot)

    def infer_all(
        self, frames: Iterable[UInt8[np.ndarray, "n h w 3"]]
    ) -> Iterator[UInt8[np.ndarray, "n h w"]]:
        """Yield the labels of each frame, in order, with copies and compute overlapped.

        Two frames are in flight. An array holds until the next one is asked for.
        """
        self._first_slot()
        flying: deque[_Slot] = deque()
        for index, frame in enumerate(frames):
            slot = self._slots[index % DEPTH]
            check_frames(frame, self.io)
            if len(flying) == DEPTH:
                yield self._finish(flying.popleft())
            np.copyto(slot.frame, frame)
            self._start(slot)
            flying.append(slot)
        while flying:
            yield self._finish(flying.popleft())

    def close(self) -> None:
        """Free buffers, streams and the engine."""
        self._context = None
        self._kept = None
        self._slots = []
        while self._closing:
            self._closing.pop()()

    def _first_slot(self) -> _Slot:
        if self._context is None:
            raise BackendError("this tensorrt backend is closed; open it again")
        return self._slots[0]

    def _stream(self) -> int:
        stream = self._cuda.create_stream()
        self._closing.append(lambda: self._cuda.destroy_stream(stream))
        return stream

    def _slot(self, shape: tuple[int, int, int, int]) -> _Slot:
        slot = _Slot(self._cuda, shape)
        self._closing.append(slot.free)
        return slot

    def _start(self, slot: _Slot) -> None:
        cuda = self._cuda
        into, compute, out = self._streams
        cuda.copy_in(slot.frame_address, slot.frame, into)
        cuda.record(slot.copied, into)
        cuda.wait(compute, slot.copied)
        if slot.graph is None:
            self._enqueue(slot, compute)
        else:
            cuda.launch(slot.graph, compute)
        cuda.record(slot.computed, compute)
        cuda.wait(out, slot.computed)
        cuda.copy_out(slot.labels, slot.labels_address, out)
        cuda.record(slot.done, out)

    def _finish(self, slot: _Slot) -> UInt8[np.ndarray, "n h w"]:
        self._cuda.wait_for(slot.done)
        return slot.labels

    def _enqueue(self, slot: _Slot, stream: int) -> None:
        context = self._context
        context.set_tensor_address(INPUT, slot.frame_address)
        context.set_tensor_address(OUTPUT, slot.labels_address)
        if not context.execute_async_v3(stream):
            log = self._kept[2]
            said = f": {log.errors[-1].splitlines()[0]}" if log.errors else ""
            raise BackendError(f"tensorrt failed while running{said}")

    def _record(self) -> str:
        """Record the inference of each slot; return why not, empty when it is recorded."""
        if not self._cuda.can_capture:
            return f"{self._cuda.name} cannot record graphs"
        compute = self._streams[1]
        for slot in self._slots:
            problem = ""
            graph: int | None = None
            self._cuda.begin_capture(compute)
            try:
                self._enqueue(slot, compute)
            except BackendError as error:
                problem = str(error)
            try:
                # Also after a failure: it ends the recording.
                graph = self._cuda.end_capture(compute)
            except BackendError as error:
                problem = problem or str(error)
            if problem:
                if graph is not None:
                    self._cuda.destroy_graph(graph)
                self._forget_graphs()
                LOG.info("edgeseg: runs without a CUDA graph: %s", problem)
                return problem
            slot.graph = graph
        return ""

    def _forget_graphs(self) -> None:
        for slot in self._slots:
            if slot.graph is not None:
                self._cuda.destroy_graph(slot.graph)
                slot.graph = None


def _choices(
    bundle: Bundle, options: EngineOptions, cache: Path, key: Mapping[str, Any]
) -> list[EngineOptions]:
    """Return the engines to try in turn; "auto" has several."""
    if options.precision != AUTO:
        return [options]
    fastest = find_fastest(cache, bundle.name, bundle.digest, key)
    wanted = [] if fastest is None else [(fastest.precision, fastest.edits)]
    wanted.append((bundle.precision, ()))
    if bundle.precision == "int8":
        wanted.append(("fp16", ()))
    return [
        dataclasses.replace(options, precision=precision, edits=edits)
        for precision, edits in dict.fromkeys(wanted)
    ]


def _first_built(
    choices: Sequence[EngineOptions], build: Callable[[EngineOptions], Engine], name: str
) -> tuple[EngineOptions, Engine]:
    """Return the first engine that can be had, telling what could not."""
    problems: list[BackendError] = []
    for wanted in choices:
        if problems:
            LOG.warning(
                "edgeseg: %s; going on with the %s engine of %s",
                problems[-1], wanted.precision, name,
            )  # fmt: skip
        try:
            return wanted, build(wanted)
        except BackendError as error:
            problems.append(error)
    raise problems[0]


def _check_tensors(trt: Any, engine: Any, bundle: Bundle) -> tuple[int, int, int, int]:
    names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
    modes = {name: engine.get_tensor_mode(name) for name in names}
    inputs = sorted(name for name in names if modes[name] == trt.TensorIOMode.INPUT)
    outputs = sorted(set(names) - set(inputs))
    bytes_only = {INPUT, OUTPUT} <= set(names) and all(
        engine.get_tensor_dtype(name) == trt.DataType.UINT8 for name in (INPUT, OUTPUT)
    )
    if inputs != [INPUT] or outputs != [OUTPUT] or not bytes_only:
        raise BackendError(
            f"{bundle.onnx_path} has inputs {inputs} and outputs {outputs}, expected uint8 "
            f"{INPUT!r} and uint8 {OUTPUT!r}; export it with edgeseg export, without --raw-logits"
        )
    given = [int(size) for size in engine.get_tensor_shape(INPUT)]
    return graph_shape(given, bundle.spec.size_hw, bundle.onnx_path)
