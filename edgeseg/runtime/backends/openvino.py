"""Runs a bundle on OpenVINO's CPU kernels; the Q/DQ graph stays as it is up to the logits."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float32, UInt8

from edgeseg.core.bundle import Bundle
from edgeseg.errors import BackendError, BundleError, UsageError
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
from edgeseg.runtime.backends.kernels import precision_of

if TYPE_CHECKING:
    import openvino as ov

    from edgeseg.runtime.backends.cpu_rewrites.label_planes import LabelPlanes

FLOAT_PRECISIONS = ("f32", "default")
INTEGER = ("i8", "u8")
WEIGHTED = ("Convolution", "Deconvolution", "FullyConnected", "MatMul")


class OpenVinoBackend(Backend):
    """A bundle compiled by OpenVINO; the labels are made by OpenCV (label_planes.py).

    On many CPUs OpenVINO runs FP32 layers in bf16 unless it is told not to; `io.precision` says
    what the compiled graph really uses.
    """

    packages = ("openvino", "onnx")

    def __init__(
        self, bundle: Bundle, *, threads: int | None = None, float_precision: str = "f32"
    ) -> None:
        """Compile the graph.

        Args:
            bundle: what to run.
            threads: threads of one inference; None leaves the choice to the runtime.
            float_precision: "f32" holds the layers that are not INT8 to f32; "default" lets the
                runtime choose, which is bf16 where the CPU has it.

        Raises:
            UsageError: unknown `float_precision`.
            BackendError: the file is no graph, or not one that takes frames and gives labels.
            BundleError: the graph has impossible constants or another precision than the manifest.
        """
        import openvino as ov

        from edgeseg.core.graph.load import bundle_graph
        from edgeseg.core.graph.logits_end import end_at_logits
        from edgeseg.runtime.backends.cpu_rewrites.label_planes import LabelPlanes

        if float_precision not in FLOAT_PRECISIONS:
            raise UsageError(
                f"float_precision is {float_precision!r}, expected one of {FLOAT_PRECISIONS}"
            )
        config: dict[str, str | int] = {"PERFORMANCE_HINT": "LATENCY"}
        if threads:
            config["INFERENCE_NUM_THREADS"] = threads
        if float_precision == "f32":
            config["INFERENCE_PRECISION_HINT"] = "f32"
        version = ov.__version__.split("-")[0]
        try:
            core = ov.Core()
            graph = bundle_graph(bundle)
            output = end_at_logits(graph, OUTPUT) or OUTPUT
            model = core.read_model(graph.SerializeToString())
            compiled = core.compile_model(model, "CPU", config)
        except BundleError:
            raise
        except Exception as error:
            raise BackendError(
                f"openvino {version} cannot load {bundle.onnx_path}: {first_line(error)}; "
                f"{load_advice(bundle)}"
            ) from error
        frame_shape = _frame_shape(compiled, bundle, output)
        self._request: ov.InferRequest | None = compiled.create_infer_request()
        kernels = _kernels(compiled)
        self.io = BackendIo(
            runtime=f"openvino {version}",
            device="cpu",
            precision=precision_of(kernels),
            threads=threads,
            frame_shape=frame_shape,
            kernels=kernels,
        )
        self._output = output
        self._classes = bundle.spec.n_classes
        self._label: LabelPlanes | None = None
        if output != OUTPUT:
            self._label = LabelPlanes(frame_shape, bundle.spec.n_classes, threads)

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
        if self._request is None:
            raise BackendError("this openvino backend is closed; open it again")
        check_frames(frames, self.io)
        try:
            results = self._request.infer({INPUT: frames}, share_inputs=True, share_outputs=True)
        except Exception as error:
            raise BackendError(f"openvino failed while running: {first_line(error)}") from error
        result: np.ndarray = results[self._output]
        if self._label is None:
            check_labels(result, self.io)
        else:
            check_logits(result, self.io, self._classes)
        return result

    def close(self) -> None:
        """Drop the request and with it the compiled graph."""
        self._request = None


def _frame_shape(
    compiled: ov.CompiledModel, bundle: Bundle, output: str
) -> tuple[int, int, int, int]:
    import openvino as ov

    inputs = {name: port for port in compiled.inputs for name in port.get_names()}
    outputs = {name: port for port in compiled.outputs for name in port.get_names()}
    frame, result = inputs.get(INPUT), outputs.get(output)
    if (
        frame is None
        or frame.get_element_type() != ov.Type.u8
        or result is None
        or (output == OUTPUT and result.get_element_type() != ov.Type.u8)
    ):
        raise BackendError(
            f"{bundle.onnx_path} has inputs {sorted(inputs)} and outputs {sorted(outputs)}, "
            f"expected uint8 {INPUT!r} and uint8 {OUTPUT!r}; export it with edgeseg export"
        )
    given = [d.get_length() if d.is_static else None for d in frame.get_partial_shape()]
    return graph_shape(given, bundle.spec.size_hw, bundle.onnx_path)


def _kernels(compiled: ov.CompiledModel) -> dict[str, int]:
    """Count the compiled convolutions and matrix products by arithmetic."""
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if "layerType" in info and str(info["layerType"].astype(str)) in WEIGHTED:
            found = str(info["runtimePrecision"].astype(str)).lower()
            counts["int8" if found in INTEGER else found] += 1
    return dict(counts)
