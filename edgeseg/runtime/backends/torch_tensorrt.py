"""Torch-TensorRT on a workstation's GPU: the same engine, run inside PyTorch.

The engine is built from the bundle's ONNX file by engine/build.py, as for `tensorrt`. Torch brings
memory and streams, so neither cuda-python nor pycuda is needed. No other module of the runtime
imports torch; this one does when the backend is opened.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
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
    first_line,
)
from edgeseg.runtime.backends.tensorrt import TensorRtBackend
from edgeseg.runtime.cuda.gpu import find_gpu
from edgeseg.runtime.engine.cache import (
    AUTO,
    DEFAULT_CACHE,
    WORKSPACE_BYTES,
    EngineOptions,
    engine_from_bundle,
)
from edgeseg.runtime.engine.tensorrt_api import is_strongly_typed, load_tensorrt


class TorchTensorRtBackend(Backend):
    """A bundle's engine as a torch module on cuda:0."""

    packages = ("torch", "tensorrt", "torch_tensorrt")
    cures = TensorRtBackend.cures
    needs_gpu = True

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int | None = None,
        precision: str = "",
        cache: Path | None = None,
        workspace_bytes: int = WORKSPACE_BYTES,
        progress: Callable[..., None] = lambda *args: None,
    ) -> None:
        """Load the engine; build it first where the cache has none.

        Args:
            bundle: what to run.
            threads: has no effect; other backends take it.
            precision: "int8", "fp16" or "fp32"; empty and "auto" take the bundle's own.
            cache: folder of the engines; None takes ~/.cache/edgeseg/engines.
            workspace_bytes: most scratch memory a kernel may want while building.
            progress: told (done, total, note) while an engine is built.

        Raises:
            BackendUnavailable: no driver or no TensorRT.
            BackendError: the engine cannot be built or loaded.
        """
        import torch
        from torch_tensorrt.runtime import TorchTensorRTModule

        self._torch = torch
        gpu = find_gpu()
        trt = load_tensorrt()
        version = str(trt.__version__)
        engine = engine_from_bundle(
            bundle,
            EngineOptions("" if precision == AUTO else precision, workspace_bytes),
            gpu,
            cache or Path.home() / DEFAULT_CACHE,
            version=version,
            strongly_typed=is_strongly_typed(trt),
            progress=progress,
        )
        try:
            self._module: Any = TorchTensorRTModule(
                serialized_engine=engine.path.read_bytes(),
                input_binding_names=[INPUT],
                output_binding_names=[OUTPUT],
                name=bundle.name,
            )
        except Exception as error:
            raise BackendError(
                f"torch_tensorrt cannot load {engine.path}: {first_line(error)}; "
                "give edgeseg build --rebuild"
            ) from error
        height, width = bundle.spec.size_hw
        self._frame = torch.empty((1, height, width, 3), dtype=torch.uint8, pin_memory=True)
        self._labels = torch.empty((1, height, width), dtype=torch.uint8, pin_memory=True)
        self.io = BackendIo(
            runtime=f"torch_tensorrt over tensorrt {version}, torch {torch.__version__}",
            device=gpu.name,
            precision=engine.layers.precision,
            kernels=engine.layers.kernels,
            threads=None,
            frame_shape=(1, height, width, 3),
        )
        self.memory = engine.memory

    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Return one label per pixel; see Backend.infer for who owns the array."""
        if self._module is None:
            raise BackendError("this torch_tensorrt backend is closed; open it again")
        check_frames(frames, self.io)
        np.copyto(self._frame.numpy(), frames)
        try:
            with self._torch.no_grad():
                labels = self._module(self._frame.cuda(non_blocking=True))
                if isinstance(labels, (tuple, list)):
                    labels = labels[0]
                self._labels.copy_(labels, non_blocking=True)
                self._torch.cuda.current_stream().synchronize()
        except RuntimeError as error:
            raise BackendError(
                f"torch_tensorrt failed while running: {first_line(error)}"
            ) from error
        result: UInt8[np.ndarray, "n h w"] = self._labels.numpy()
        return result

    def close(self) -> None:
        """Drop the module and with it the engine."""
        self._module = None
