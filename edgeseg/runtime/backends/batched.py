"""Makes a bundle's graph take several frames in one call, for several cameras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edgeseg.core.bundle import Bundle, write_bundle
from edgeseg.errors import BackendError, BackendUnavailable
from edgeseg.runtime.backends.base import INPUT, OUTPUT, Backend

if TYPE_CHECKING:
    import onnx

# Operators whose output shape is a constant input, and which input that is.
SHAPES = {"Resize": 3, "Reshape": 1}
# Runtimes round INT8 differently, which moves single pixels; a row that was not computed moves all.
LEAST_AGREEMENT = 0.9


def batched_bundle(bundle: Bundle, n: int, folder: Path) -> Bundle:
    """Write a copy of a bundle whose graphs take `n` frames at once.

    Exported graphs have a batch of 1 in their input, their output and the sizes of some operators;
    nothing else in them depends on it. The golden pair stays that of one frame.

    Args:
        bundle: what to copy.
        n: frames in one call, 2 or more.
        folder: of the copy.

    Raises:
        BackendUnavailable: the package onnx is not installed.
        BackendError: the graph does not work for another batch.
    """
    forms = [False] if bundle.islands_path is None else [False, True]
    graphs = [_batched(bundle, n, islands=islands) for islands in forms]
    return write_bundle(
        folder,
        graphs[0],
        bundle.golden(),
        name=bundle.name,
        spec=bundle.spec,
        precision=bundle.precision,
        opset=bundle.opset,
        steps=bundle.steps,
        reference=bundle.reference,
        islands=graphs[1] if len(graphs) > 1 else None,
    )


def check_rows(backend: Backend, bundle: Bundle, n: int) -> None:
    """Check that every row of a batch of `n` gives the golden frame's labels.

    Raises:
        BackendError: a row gives others, or the backend takes another number of frames.
    """
    golden, taken = bundle.golden(), backend.io.frame_shape[0]
    if taken != n:
        raise BackendError(f"{backend.io.runtime} takes {taken} frame at a time; leave out --batch")
    for row, labels in enumerate(backend.infer(np.repeat(golden.frame, n, axis=0))):
        agreement = float(np.count_nonzero(labels == golden.labels[0])) / labels.size
        if agreement < LEAST_AGREEMENT:
            raise BackendError(
                f"in a batch of {n}, frame {row} gets {agreement:.3f} of the golden labels, "
                f"expected {LEAST_AGREEMENT}; if `edgeseg verify` finds {bundle.name} right, leave "
                "out --batch"
            )


def set_batch(model: onnx.ModelProto, n: int) -> None:
    """Give a graph of batch 1 a batch of `n`, in place.

    Raises:
        BackendError: its batch is not 1, or its shapes no longer fit together.
    """
    import onnx
    from onnx import numpy_helper

    graph = model.graph
    for value in (*graph.input, *graph.output):
        batch = value.type.tensor_type.shape.dim[0]
        if batch.dim_value != 1:
            raise BackendError(f"{value.name} has a batch of {batch.dim_value}, expected 1")
        batch.dim_value = n
    del graph.value_info[:]
    for node, position, sizes in _sizes(graph):
        if sizes.ndim == 1 and sizes.size and sizes[0] == 1:
            name = f"{node.name or node.output[0]}_sizes_of_{n}"
            changed = np.concatenate([[n], sizes[1:]]).astype(sizes.dtype)
            graph.initializer.append(numpy_helper.from_array(changed, name))
            node.input[position] = name
    try:
        onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except onnx.shape_inference.InferenceError as error:
        text = " ".join(str(error).split())
        raise BackendError(f"the graph does not work with a batch of {n} ({text[:200]})") from error


def _batched(bundle: Bundle, n: int, *, islands: bool) -> bytes:
    try:
        from edgeseg.core.graph.load import bundle_graph
    except ImportError as error:
        raise BackendUnavailable("--batch needs the package onnx; pip install onnx") from error
    model = bundle_graph(bundle, islands=islands)
    path = bundle.islands_path if islands else bundle.onnx_path
    names = {value.name for value in (*model.graph.input, *model.graph.output)}
    if not {INPUT, OUTPUT} <= names:
        raise BackendError(f"{path} takes no {INPUT!r} or gives no {OUTPUT!r}; export it again")
    set_batch(model, n)
    return bytes(model.SerializeToString(deterministic=True))


def _sizes(graph: onnx.GraphProto) -> Iterator[tuple[onnx.NodeProto, int, np.ndarray]]:
    """Yield the nodes that shape what came from a frame, with the constant that says how."""
    from onnx import numpy_helper

    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                constants[node.output[0]] = numpy_helper.to_array(attribute.t)
    from_frame = {INPUT}
    for node in graph.node:
        if from_frame.isdisjoint(node.input):
            continue
        from_frame.update(node.output)
        position = SHAPES.get(node.op_type)
        if position is None or len(node.input) <= position or node.input[0] not in from_frame:
            continue
        if node.input[position] in constants:
            yield node, position, constants[node.input[position]]
