"""Runs a bundle on ONNX Runtime's CPU kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from edgeseg.core.bundle import Bundle
from edgeseg.errors import BackendError, BundleError
from edgeseg.runtime.backends.base import (
    ENDS_AT_LABELS,
    INPUT,
    OUTPUT,
    Backend,
    BackendIo,
    check_frames,
    check_labels,
    check_logits,
    first_line,
    graph_shape,
    load_advice,
)
from edgeseg.runtime.backends.kernels import open_onnxruntime, precision_of

if TYPE_CHECKING:
    import onnxruntime as ort

    from edgeseg.runtime.backends.cpu_rewrites.label_planes import LabelPlanes

ERRORS_ONLY = 3
RGB = 3


class OnnxRuntimeBackend(Backend):
    """A bundle in an ONNX Runtime session.

    Bundles are rewritten while they are loaded, for the sake of its CPU kernels: they end at the
    logits (label_planes.py), and INT8 ones get uint8 activations (uint8_activations.py) and frames
    of four channels that are normalized in rows (four_channels.py). The file itself stays as
    TensorRT wants it.
    """

    packages = ("onnxruntime", "onnx")

    def __init__(
        self, bundle: Bundle, *, threads: int | None = None, optimize: bool = True
    ) -> None:
        """Load the graph.

        Args:
            bundle: what to run.
            threads: threads of one inference; None leaves the choice to the runtime.
            optimize: False switches every graph optimization and all rewriting off, so that the
                file's own arithmetic runs, for parity checks.

        Raises:
            BackendError: the file is no graph, or not one that takes frames and gives labels.
            BundleError: the graph has impossible constants or another precision than the manifest.
        """
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads or 0
        options.inter_op_num_threads = 1
        levels = ort.GraphOptimizationLevel
        options.graph_optimization_level = (
            levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
        )
        try:
            graph, channels, output = _graph(bundle, rewrite=optimize)
            self._session: ort.InferenceSession | None
            self._session, kernels = open_onnxruntime(graph, options)
        except BundleError:
            raise
        except Exception as error:
            # The runtime's error classes share no base of their own.
            raise BackendError(
                f"onnxruntime {ort.__version__} cannot load {bundle.onnx_path}: "
                f"{first_line(error)}; {load_advice(bundle)}"
            ) from error
        self.io = BackendIo(
            runtime=f"onnxruntime {ort.__version__}",
            device="cpu",
            precision=precision_of(kernels),
            threads=threads,
            frame_shape=_frame_shape(self._session, bundle, channels, output),
            kernels=kernels,
        )
        self._output = output
        self._classes = bundle.spec.n_classes
        self._wide: UInt8[np.ndarray, "n h w 4"] | None = (
            np.zeros((*self.io.frame_shape[:3], channels), np.uint8) if channels != RGB else None
        )
        self._label: LabelPlanes | None = None
        if output != OUTPUT:
            from edgeseg.runtime.backends.cpu_rewrites.label_planes import LabelPlanes

            self._label = LabelPlanes(self.io.frame_shape, bundle.spec.n_classes, threads)

    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Return one label per pixel; see Backend.infer for who owns the array."""
        result = self._run(frames)
        return self._label(result) if self._label else result

    def logits(self, frames: UInt8[np.ndarray, "n h w 3"]) -> Float32[np.ndarray, "n k h2 w2"]:
        """Return the network's scores per class; see Backend.logits."""
        if self._label is None:
            raise BackendError(ENDS_AT_LABELS)
        return self._run(frames)

    def _run(self, frames: np.ndarray) -> np.ndarray:
        if self._session is None:
            raise BackendError("this onnxruntime backend is closed; open it again")
        check_frames(frames, self.io)
        if self._wide is not None:
            import cv2

            for wide, frame in zip(self._wide, frames, strict=True):
                cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA, dst=wide)
            frames = self._wide
        try:
            result: np.ndarray = self._session.run([self._output], {INPUT: frames})[0]
        except Exception as error:
            raise BackendError(f"onnxruntime failed while running: {first_line(error)}") from error
        if self._label is None:
            check_labels(result, self.io)
        else:
            check_logits(result, self.io, self._classes)
        return result

    def close(self) -> None:
        """Drop the session."""
        self._session = None


def _graph(bundle: Bundle, *, rewrite: bool) -> tuple[bytes, int, str]:
    """Return the graph, rewritten or not, the channels that takes and its output."""
    from edgeseg.core.graph.load import bundle_graph

    model = bundle_graph(bundle)
    if not rewrite:
        return bytes(model.SerializeToString()), RGB, OUTPUT
    from edgeseg.core.graph.logits_end import end_at_logits
    from edgeseg.runtime.backends.cpu_rewrites.four_channels import (
        WIDTH,
        normalize_in_rows,
        widen_frame,
    )
    from edgeseg.runtime.backends.cpu_rewrites.masks import select_by_product
    from edgeseg.runtime.backends.cpu_rewrites.uint8_activations import rewrite_activations

    output = end_at_logits(model, OUTPUT) or OUTPUT
    channels = RGB
    if bundle.precision == "int8":
        rewrite_activations(model)
        channels = WIDTH if widen_frame(model, INPUT) else RGB
        normalize_in_rows(model, INPUT)
    select_by_product(model)
    return bytes(model.SerializeToString()), channels, output


def _frame_shape(
    session: ort.InferenceSession, bundle: Bundle, channels: int, output: str
) -> tuple[int, int, int, int]:
    inputs = {value.name: value for value in session.get_inputs()}
    outputs = {value.name: value for value in session.get_outputs()}
    frame, result = inputs.get(INPUT), outputs.get(output)
    uint8 = "tensor(uint8)"
    if (
        frame is None
        or frame.type != uint8
        or result is None
        or (output == OUTPUT and result.type != uint8)
    ):
        raise BackendError(
            f"{bundle.onnx_path} has inputs {sorted(inputs)} and outputs {sorted(outputs)}, "
            f"expected uint8 {INPUT!r} and uint8 {OUTPUT!r}; export it with edgeseg export"
        )
    return graph_shape(frame.shape, bundle.spec.size_hw, bundle.onnx_path, channels)
