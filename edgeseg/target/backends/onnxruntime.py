"""ONNX Runtime on the CPU."""

from __future__ import annotations

import cv2
import numpy as np
import onnxruntime as ort
from jaxtyping import UInt8

from edgeseg.core.bundle import Bundle
from edgeseg.errors import BackendError
from edgeseg.target.backends.base import (
    INPUT,
    OUTPUT,
    Backend,
    BackendIo,
    check_frames,
    first_line,
    graph_shape,
)

ERRORS_ONLY = 3
RGB = 3
RAN = {"int8": "int8+f32", "fp16": "f32", "fp32": "f32"}


class OnnxRuntimeBackend(Backend):
    """A bundle in an ONNX Runtime session.

    INT8 bundles are rewritten while they are loaded, for the sake of its CPU kernels: uint8
    activations (uint8_activations.py), and frames of four channels that are normalised in rows
    (four_channels.py). The file itself stays as TensorRT wants it.
    """

    def __init__(
        self, bundle: Bundle, *, threads: int | None = None, optimize: bool = True
    ) -> None:
        """Load the graph.

        Args:
            bundle: what to run.
            threads: threads of one inference; None leaves the choice to the runtime.
            optimize: False switches every graph optimisation and the activation rewrite off, so
                that the file's own arithmetic runs, for parity checks.

        Raises:
            BackendError: the file is no graph, or not one that takes frames and gives labels.
        """
        options = ort.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        )
        try:
            graph, channels = _graph(bundle, rewrite=optimize)
            self._session: ort.InferenceSession | None = ort.InferenceSession(
                graph, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:
            # The runtime's error classes share no base of their own.
            raise BackendError(
                f"onnxruntime {ort.__version__} cannot load {bundle.onnx_path}: "
                f"{first_line(error)}; export the bundle again"
            ) from error
        self.io = BackendIo(
            runtime=f"onnxruntime {ort.__version__}",
            device="cpu",
            # Without fusion every quantised value is turned back to float before it is used.
            precision=RAN[bundle.precision] if optimize else "f32",
            threads=threads,
            frame_shape=_frame_shape(self._session, bundle, channels),
        )
        self._wide: UInt8[np.ndarray, "n h w 4"] | None = (
            np.zeros((*self.io.frame_shape[:3], channels), np.uint8) if channels != RGB else None
        )

    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Return one label per pixel; see Backend.infer for who owns the array."""
        if self._session is None:
            raise BackendError("this onnxruntime backend is closed; open it again")
        check_frames(frames, self.io)
        if self._wide is not None:
            for wide, frame in zip(self._wide, frames, strict=True):
                cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA, dst=wide)
            frames = self._wide
        try:
            labels: UInt8[np.ndarray, "n h w"] = self._session.run([OUTPUT], {INPUT: frames})[0]
        except Exception as error:
            raise BackendError(f"onnxruntime failed while running: {first_line(error)}") from error
        return labels

    def close(self) -> None:
        """Drop the session."""
        self._session = None


def _graph(bundle: Bundle, *, rewrite: bool) -> tuple[str | bytes, int]:
    """Return the file, or what it is rewritten to, and how many channels that takes."""
    if not (rewrite and bundle.precision == "int8"):
        return str(bundle.onnx_path), RGB
    # Imported here: an FP32 bundle does not pay for the onnx package's memory.
    import onnx

    from edgeseg.target.backends.four_channels import WIDTH, normalize_in_rows, widen_frame
    from edgeseg.target.backends.uint8_activations import rewrite_activations

    model = onnx.load(bundle.onnx_path)
    rewrite_activations(model)
    channels = WIDTH if widen_frame(model, INPUT) else RGB
    normalize_in_rows(model, INPUT)
    return bytes(model.SerializeToString()), channels


def _frame_shape(
    session: ort.InferenceSession, bundle: Bundle, channels: int
) -> tuple[int, int, int, int]:
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value for value in session.get_outputs()}
    frame, labels = inputs.get(INPUT), outputs.get(OUTPUT)
    if frame is None or labels is None or {frame.type, labels.type} != {"tensor(uint8)"}:
        raise BackendError(
            f"{bundle.onnx_path} has inputs {sorted(inputs)} and outputs {sorted(outputs)}, "
            f"expected uint8 {INPUT!r} and uint8 {OUTPUT!r}; export it with edgeseg export"
        )
    return graph_shape(frame.shape, bundle.spec.size_hw, bundle.onnx_path, channels)
