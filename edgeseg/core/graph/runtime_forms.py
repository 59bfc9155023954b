"""The same network with the inputs and outputs that other runtimes feed and read.

A bundle's graph takes a frame, uint8 1,H,W,3, and gives labels, uint8 1,H,W. Other runtimes convert
the picture themselves and hand over planes of floats; some want labels in 32 bits, some a score per
class. Only the two ends change; the network between them stays node by node.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
from jaxtyping import Float32, UInt8
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.graph.form import IMAGENET_MEAN, IMAGENET_STD, Form
from edgeseg.errors import ExportError

LABELS = "labels"
# In float32 both are the same number; a written decimal may be the neighbour.
SCALE_TOLERANCE = 1e-6


def feed(form: Form, frame: UInt8[np.ndarray, "1 h w 3"]) -> np.ndarray:
    """Return what a runtime would hand over for a frame of the network's size."""
    if form.pixels == "frame":
        return frame
    planes: Float32[np.ndarray, "1 3 h w"] = np.ascontiguousarray(
        frame.astype(np.float32).transpose(0, 3, 1, 2)
    )
    if form.pixels == "bytes":
        return planes
    unit = planes * np.float32(1 / 255)
    if form.pixels == "unit":
        return unit
    mean, std = (
        np.array(values, np.float32).reshape(1, 3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (unit - mean) / std


def labels_of(form: Form, result: np.ndarray) -> UInt8[np.ndarray, "1 h w"]:
    """Return the labels that a reader takes from a result: of equal scores the first."""
    if form.result in ("logits", "softmax"):
        return result.argmax(1).astype(np.uint8)
    return result.reshape(result.shape[:3]).astype(np.uint8)


def in_form(model: onnx.ModelProto, form: Form) -> onnx.ModelProto:
    """Return a copy of a bundle's graph with another beginning and end.

    Raises:
        ExportError: the graph does not begin or end as edgeseg's exports do.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _begin(made.graph, form)
    _end(made.graph, form)
    del made.graph.value_info[:]
    try:
        onnx.checker.check_model(made, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the changed graph is not valid ONNX: {error}") from error
    return made


def _begin(graph: onnx.GraphProto, form: Form) -> None:
    (frame,) = graph.input
    _, height, width, _ = (each.dim_value for each in frame.type.tensor_type.shape.dim)
    if form.pixels == "frame":
        if frame.name != form.input_name:
            _rename(graph, frame.name, form.input_name)
            frame.name = form.input_name
        return
    cast = _reader(graph, frame.name, "Cast")
    transpose = _reader(graph, cast.output[0], "Transpose")
    scale = _reader(graph, transpose.output[0], "Mul")
    factor = _constant(graph, scale.input[1])
    if factor is None or factor.size != 1 or abs(float(factor) * 255 - 1) > SCALE_TOLERANCE:
        raise ExportError("the graph does not begin with a division by 255; export it again")
    taken, added = [cast, transpose], []
    name = form.input_name
    if form.pixels == "bytes":
        _feed_from(graph, transpose.output[0], name)
    else:
        taken.append(scale)
        if form.pixels == "unit":
            _feed_from(graph, scale.output[0], name)
        elif (after := _imagenet(graph, scale)) is not None:
            # The runtime does what the network's own first two nodes do.
            taken += after
            _feed_from(graph, after[-1].output[0], name)
        else:
            for suffix, values in (("std", IMAGENET_STD), ("mean", IMAGENET_MEAN)):
                array = np.array(values, np.float32).reshape(1, 3, 1, 1)
                graph.initializer.append(numpy_helper.from_array(array, f"{name}.{suffix}"))
            added = [
                helper.make_node("Mul", [name, f"{name}.std"], [f"{name}.spread"]),
                helper.make_node("Add", [f"{name}.spread", f"{name}.mean"], [f"{name}.unit"]),
            ]
            _feed_from(graph, scale.output[0], f"{name}.unit")
    kept = [node for node in graph.node if not any(node is one for one in taken)]
    rest = [*added, *kept]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in rest]
    del graph.node[:], graph.input[:]
    graph.node.extend(copies)
    shape = [1, 3, height, width]
    graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))


def _end(graph: onnx.GraphProto, form: Form) -> None:
    (output,) = (value for value in graph.output if value.name == LABELS)
    shape = [each.dim_value for each in output.type.tensor_type.shape.dim]
    if form.result == "labels":
        del graph.output[:]
        graph.output.append(output)
        if form.output_name != LABELS:
            _rename(graph, LABELS, form.output_name)
            graph.output[0].name = form.output_name
        return
    makers = {name: node for node in graph.node for name in node.output}
    end = [makers[LABELS]]
    while end[-1].op_type == "Cast":
        end.append(makers[end[-1].input[0]])
    argmax = end[-1]
    if argmax.op_type != "ArgMax":
        raise ExportError("the graph does not end with an ArgMax; export it again")
    logits, best, name = argmax.input[0], argmax.output[0], form.output_name
    classes = _classes(graph)
    if form.result == "softmax":
        added, dropped = [helper.make_node("Softmax", [logits], [name], axis=1)], end
        kind, dims = TensorProto.FLOAT, [shape[0], classes, *shape[1:]]
    elif form.result == "logits":
        added, dropped = [helper.make_node("Identity", [logits], [name])], end
        kind, dims = TensorProto.FLOAT, [shape[0], classes, *shape[1:]]
    else:
        nhw1 = form.result == "int32 nhw1"
        cast = f"{name}.int32" if nhw1 else name
        added, dropped = [helper.make_node("Cast", [best], [cast], to=TensorProto.INT32)], end[:-1]
        kind, dims = TensorProto.INT32, shape
        if nhw1:
            axes = numpy_helper.from_array(np.array([3], np.int64), f"{name}.axes")
            graph.initializer.append(axes)
            added.append(helper.make_node("Unsqueeze", [cast, axes.name], [name]))
            dims = [*shape, 1]
    kept = [node for node in graph.node if not any(node is one for one in dropped)]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in [*kept, *added]]
    del graph.node[:], graph.output[:]
    graph.node.extend(copies)
    graph.output.append(helper.make_tensor_value_info(name, kind, dims))


def _imagenet(graph: onnx.GraphProto, scale: onnx.NodeProto) -> list[onnx.NodeProto] | None:
    """Return the nodes that subtract and divide by ImageNet's figures, None where they do not."""
    after = [node for node in graph.node if scale.output[0] in node.input]
    if len(after) != 1 or after[0].op_type != "Sub":
        return None
    over = [node for node in graph.node if after[0].output[0] in node.input]
    if len(over) != 1 or over[0].op_type != "Div":
        return None
    for node, wanted in ((after[0], IMAGENET_MEAN), (over[0], IMAGENET_STD)):
        found = _constant(graph, node.input[1])
        if found is None or found.size != 3 or not np.allclose(found.ravel(), wanted, atol=1e-6):
            return None
    return [after[0], over[0]]


def _classes(graph: onnx.GraphProto) -> int:
    """Return the number of classes: the output channels of the last convolution."""
    convs = [node for node in graph.node if node.op_type in ("Conv", "ConvTranspose")]
    weight = _constant(graph, convs[-1].input[1]) if convs else None
    if weight is None or convs[-1].op_type != "Conv":
        raise ExportError("the graph's last convolution has no plain weights; export it again")
    return int(weight.shape[0])


def _reader(graph: onnx.GraphProto, name: str, operator: str) -> onnx.NodeProto:
    found = [node for node in graph.node if name in node.input]
    if len(found) != 1 or found[0].op_type != operator:
        what = ", ".join(node.op_type for node in found) or "nothing"
        raise ExportError(
            f"{name} is read by {what}, expected one {operator}; export the bundle again"
        )
    return found[0]


def _constant(graph: onnx.GraphProto, name: str) -> np.ndarray | None:
    held = next((each for each in graph.initializer if each.name == name), None)
    return None if held is None else numpy_helper.to_array(held)


def _feed_from(graph: onnx.GraphProto, before: str, after: str) -> None:
    """Let whoever reads `before` read `after`."""
    for node in graph.node:
        _replace(node.input, before, after)


def _rename(graph: onnx.GraphProto, before: str, after: str) -> None:
    for node in graph.node:
        _replace(node.input, before, after)
        _replace(node.output, before, after)


def _replace(names: Sequence[str], before: str, after: str) -> None:
    for index, name in enumerate(names):
        if name == before:
            names[index] = after  # type: ignore[index]
