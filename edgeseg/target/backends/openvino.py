"""OpenVINO on the CPU; it runs the bundle's Q/DQ graph as the file has it."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import openvino as ov
from jaxtyping import UInt8
from openvino import opset13 as ops

from edgeseg.core.bundle import Bundle
from edgeseg.errors import BackendError, UsageError
from edgeseg.target.backends.base import (
    INPUT,
    OUTPUT,
    Backend,
    BackendIo,
    check_frames,
    first_line,
    graph_shape,
)

FLOAT_PRECISIONS = ("f32", "default")
INTEGER = ("i8", "u8")


class OpenVinoBackend(Backend):
    """A bundle compiled by OpenVINO.

    On many CPUs OpenVINO runs FP32 layers in bf16 unless it is told not to; `io.precision` says
    what the compiled graph really uses.
    """

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
        """
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
            model = core.read_model(str(bundle.onnx_path))
            compare_instead_of_sorting(model)
            compiled = core.compile_model(model, "CPU", config)
        except Exception as error:
            raise BackendError(
                f"openvino {version} cannot load {bundle.onnx_path}: {first_line(error)}; "
                "export the bundle again"
            ) from error
        frame_shape = _frame_shape(compiled, bundle)
        self._request: ov.InferRequest | None = compiled.create_infer_request()
        self.io = BackendIo(
            runtime=f"openvino {version}",
            device="cpu",
            precision=_precision(compiled),
            threads=threads,
            frame_shape=frame_shape,
        )

    def infer(self, frames: UInt8[np.ndarray, "n h w 3"]) -> UInt8[np.ndarray, "n h w"]:
        """Return one label per pixel; see Backend.infer for who owns the array."""
        if self._request is None:
            raise BackendError("this openvino backend is closed; open it again")
        check_frames(frames, self.io)
        try:
            results = self._request.infer({INPUT: frames}, share_inputs=True, share_outputs=True)
        except Exception as error:
            raise BackendError(f"openvino failed while running: {first_line(error)}") from error
        labels: UInt8[np.ndarray, "n h w"] = results[OUTPUT]
        return labels

    def close(self) -> None:
        """Drop the request and with it the compiled graph."""
        self._request = None


def compare_instead_of_sorting(model: ov.Model) -> int:
    """Give the argmax over the classes a cheaper form with the same result; return how many.

    OpenVINO runs ArgMax as a TopK, which took a quarter of an INT8 network's time. The first class
    that equals the maximum is found by one maximum, one comparison and one minimum. They run on
    planes, class by class: convolutions leave the classes of a pixel side by side, where a
    reduction over eleven of them uses a vector unit badly, and costs more than the transpose.
    """
    found = [
        node
        for node in model.get_ordered_ops()
        if node.get_type_name() == "TopK"
        and node.get_attributes()["mode"] == "max"
        and node.get_attributes()["axis"] == 1
        and node.output(1).get_shape()[1] == 1
        and not node.output(0).get_target_inputs()
    ]
    for node in found:
        values = node.input_value(0)
        batch, classes, *pixels = values.get_shape()
        last = [0, *range(2, 2 + len(pixels)), 1]
        flat = [batch, math.prod(pixels), classes]
        side_by_side = ops.reshape(ops.transpose(values, _integers(last)), _integers(flat), False)
        planes = ops.transpose(side_by_side, _integers([0, 2, 1]))
        largest = ops.reduce_max(planes, _integers([1]), keep_dims=True)
        numbers = ops.constant(np.arange(classes, dtype=np.float32).reshape(1, -1, 1))
        none = ops.constant(np.float32(classes))
        candidates = ops.select(ops.greater_equal(planes, largest), numbers, none)
        first = ops.reduce_min(candidates, _integers([1]), keep_dims=True)
        shaped = ops.reshape(first, _integers([batch, 1, *pixels]), False)
        index = ops.convert(shaped, node.get_output_element_type(1).get_type_name())
        for reader in node.output(1).get_target_inputs():
            reader.replace_source_output(index.output(0))
    return len(found)


def _integers(values: list[int]) -> ov.Node:
    return ops.constant(np.array(values, dtype=np.int64))


def _frame_shape(compiled: ov.CompiledModel, bundle: Bundle) -> tuple[int, int, int, int]:
    inputs = {name: port for port in compiled.inputs for name in port.get_names()}
    outputs = {name: port for port in compiled.outputs for name in port.get_names()}
    frame, labels = inputs.get(INPUT), outputs.get(OUTPUT)
    if (
        frame is None
        or labels is None
        or {frame.get_element_type(), labels.get_element_type()} != {ov.Type.u8}
    ):
        raise BackendError(
            f"{bundle.onnx_path} has inputs {sorted(inputs)} and outputs {sorted(outputs)}, "
            f"expected uint8 {INPUT!r} and uint8 {OUTPUT!r}; export it with edgeseg export"
        )
    given = [d.get_length() if d.is_static else None for d in frame.get_partial_shape()]
    return graph_shape(given, bundle.spec.size_hw, bundle.onnx_path)


def _precision(compiled: ov.CompiledModel) -> str:
    """Name the arithmetic of the compiled convolutions, e.g. "int8+f32"."""
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        info = node.get_rt_info()
        if "layerType" in info and str(info["layerType"].astype(str)) == "Convolution":
            found = str(info["runtimePrecision"].astype(str)).lower()
            counts["int8" if found in INTEGER else found] += 1
    if not counts:
        return "unknown"
    floats = sorted(name for name in counts if name != "int8")
    return "+".join((["int8"] if "int8" in counts else []) + floats)
