"""Runs a wrapped network and the file it came from on the same frames, and compares labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from jaxtyping import UInt8
from onnx import TensorProto, helper

from edgeseg.core.bundle import Golden
from edgeseg.core.spec import ModelSpec
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import ExportError
from edgeseg.host.export.golden import SEED
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.imports.onnx_file.ends import CLASS_AXIS, Entry, Exit
from edgeseg.host.imports.onnx_file.wrap import LABELS, free_name

FRAMES = 3
# Folding batch norms and constants rounds in other places; two scores that are equal to rounding
# may then change places.
AGREEMENT = 0.999
TYPES: dict[int, Any] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.DOUBLE: np.float64,
    TensorProto.UINT8: np.uint8,
}


def frames(spec: ModelSpec) -> list[UInt8[np.ndarray, "1 h w 3"]]:
    """Return frames of the synthetic drive at the network's size, the golden one first."""
    drive = SyntheticDrive(spec.size_hw, seed=SEED, n=FRAMES)
    return [np.ascontiguousarray(drive.frame(index)[0][None]) for index in range(FRAMES)]


def normalized(frame: np.ndarray, spec: ModelSpec, entry: Entry, element: int) -> np.ndarray:
    """Return what the file takes for a frame uint8 1,h,w,3, by the rule that the user gave.

    Args:
        frame: RGB.
        spec: gives the rule.
        entry: what the file takes.
        element: the file's element type.
    """
    rule = spec.preprocess
    values = frame.astype(np.float64)
    if not entry.bytes:
        values = (values / 255 - rule.mean) / rule.std
    if not entry.channels_last:
        values = values.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(values.astype(TYPES[element]))


def golden_of(
    path: Path, file: onnx.ModelProto, made: onnx.ModelProto, spec: ModelSpec, entry: Entry,
    end: Exit,
) -> Golden:  # fmt: skip
    """Compare a wrapped network with its file, and return the golden pair.

    Labels are compared at the file's own size, before any resize of ours.

    Args:
        path: for messages.
        file: as read, its input's shape fixed.
        made: the wrapped network.
        spec: of the network.
        entry: what the file takes.
        end: what it gives.

    Raises:
        ExportError: a graph cannot be run, or the labels differ.
    """
    element = next(v.type.tensor_type.elem_type for v in file.graph.input if v.name == entry.name)
    asked = _with_output(file, end.output)
    inside = _with_output(made, free_name(end.tensor))
    golden = None
    for frame in frames(spec):
        theirs = _run(path, asked, normalized(frame, spec, entry, element), "it")[0]
        labels, before = _run(path, inside, frame, "its graph as a bundle")
        wanted = file_labels(theirs, end)
        found = labels if end.size_hw == spec.size_hw else inner_labels(before, end)
        agreement = float((wanted == found).mean())
        if agreement < AGREEMENT:
            raise ExportError(
                f"{path} as a bundle gives the file's labels on {agreement:.2%} of a frame, "
                f"expected {AGREEMENT:.1%}; please report it with the file"
            )
        highest = int(wanted.max())
        if highest >= spec.n_classes:
            raise ExportError(
                f"{path} gives label {highest}, --classes names {spec.n_classes}; give the classes "
                "that it was trained with, one a line in the order of its labels"
            )
        golden = golden or Golden(frame, labels)
    assert golden is not None
    return golden


def file_labels(output: np.ndarray, end: Exit) -> np.ndarray:
    """Return the labels 1,h,w that the file's own output stands for."""
    shape = (1, *end.size_hw)
    if end.output_is_labels:
        return output.reshape(shape).astype(np.int64)
    if end.kind == "score":
        threshold = 0.5 if "Sigmoid" in end.dropped else end.threshold
        return (output.reshape(shape) > threshold).astype(np.int64)
    return output.argmax(CLASS_AXIS[end.output_last])


def inner_labels(tensor: np.ndarray, end: Exit) -> np.ndarray:
    """Return the labels 1,h,w of the tensor that a wrapped network goes on from."""
    if end.kind == "labels":
        return tensor.reshape(1, *end.size_hw).astype(np.int64)
    if end.kind == "score":
        return (tensor.reshape(1, *end.size_hw) > end.threshold).astype(np.int64)
    return tensor.argmax(CLASS_AXIS[end.channels_last])


def _with_output(model: onnx.ModelProto, name: str) -> onnx.ModelProto:
    """Return a copy that gives `name` too, or alone where it is an output of a foreign file."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    outputs = {value.name: value for value in made.graph.output}
    del made.graph.output[:]
    if LABELS in outputs and name not in outputs:
        made.graph.output.append(outputs[LABELS])
    value = outputs.get(name)
    if value is None:
        value = helper.make_empty_tensor_value_info(name)
    made.graph.output.append(value)
    return made


def _run(path: Path, model: onnx.ModelProto, feed: np.ndarray, what: str) -> list[np.ndarray]:
    try:
        return run_unoptimized(model, feed)
    except Exception as error:
        # The runtime's error classes share no base of their own.
        reason = (str(error).strip().splitlines() or ["no reason given"])[0]
        raise ExportError(f"{path}: ONNX Runtime cannot run {what} ({reason})") from error
