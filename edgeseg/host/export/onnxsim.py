"""onnxsim behind a check: the simplified graph is used only if it gives the same result."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx

from edgeseg.errors import ExportError, UsageError


def simplify(model: onnx.ModelProto, frame: np.ndarray) -> onnx.ModelProto:
    """Return a simplified graph whose outputs for `frame` are bit-equal.

    Args:
        model: an exported graph with one input.
        frame: a value for that input.

    Raises:
        UsageError: onnxsim or onnxruntime is not installed.
        ExportError: onnxsim failed, or changed an output.
    """
    try:
        import onnxsim
    except ImportError as error:
        raise UsageError("--simplify needs onnxsim; pip install onnxsim") from error
    try:
        simplified, checked = onnxsim.simplify(model, check_n=0)
    except Exception as error:
        # onnxsim raises whatever its C++ core raised.
        raise ExportError(f"onnxsim failed ({error}); export without --simplify") from error
    if not checked:
        raise ExportError("onnxsim's own check failed; export without --simplify")
    for name, before, after in zip(
        [value.name for value in model.graph.output],
        run_unoptimized(model, frame),
        run_unoptimized(simplified, frame),
        strict=True,
    ):
        if not np.array_equal(before, after):
            raise ExportError(f"onnxsim changed output {name!r}; export without --simplify")
    return simplified


def run_unoptimized(
    model: onnx.ModelProto, frame: np.ndarray, further: Mapping[str, np.ndarray] | None = None
) -> list[np.ndarray]:
    """Run a graph in ONNX Runtime with its optimizers off: the file's own arithmetic.

    Args:
        model: the graph.
        frame: a value for its first input.
        further: values of its other inputs, by name.

    Raises:
        UsageError: onnxruntime is not installed.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise UsageError("this check needs onnxruntime; pip install onnxruntime") from error
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {session.get_inputs()[0].name: frame, **(further or {})}))
