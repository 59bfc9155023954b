"""What an ONNX network takes and gives: the picture's layout, and scores or labels of classes."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto

from edgeseg.core.graph.view import FLOATS, GraphView, attributes
from edgeseg.errors import ExportError, UsageError

TAKEN = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.UINT8)
INTEGERS = frozenset({"INT64", "INT32", "UINT8", "INT8", "BOOL"})
# These keep the order of a pixel's scores, so its best class stays.
MONOTONE = ("Softmax", "LogSoftmax", "Sigmoid")
# These move labels or scores without changing them.
MOVING = ("Identity", "Cast", "Squeeze", "Unsqueeze", "Reshape", "Dropout")
# A score passes these as a mean of neighbours, so what is bounded by 0 and 1 stays so.
AVERAGING = ("Identity", "Cast", "Resize", "Transpose", "AveragePool", "Slice", "Reshape")
# Input pixels per pixel of the result, in each direction, beyond which it is no map of classes.
COARSEST = 64
CLASS_AXIS = {False: 1, True: 3}
LAYOUTS = ("NKhw", "NhwK")
EXPECTED = "expected scores N,K,h,w or N,h,w,K, or labels N,h,w"


@dataclasses.dataclass(frozen=True)
class Entry:
    """What a network takes.

    Attributes:
        name: of its input.
        channels_last: N,H,W,3 rather than N,3,H,W.
        size_hw: where the file fixes it.
        bytes: takes uint8 pixels.
    """

    name: str
    channels_last: bool
    size_hw: tuple[int, int] | None
    bytes: bool

    def shape(self, size_hw: tuple[int, int]) -> tuple[int, ...]:
        """Return the input's shape for one frame of a size."""
        return (1, *size_hw, 3) if self.channels_last else (1, 3, *size_hw)


@dataclasses.dataclass(frozen=True)
class Exit:
    """What a network gives, and where in its graph the labels are still scores.

    Attributes:
        output: the file's output.
        tensor: what to go on from: before a softmax, an argmax or a change of layout.
        kind: "scores" of each class, "score" of the second of two classes, or "labels".
        channels_last: the tensor is N,h,w,K rather than N,K,h,w.
        output_last: the output is.
        size_hw: of the map.
        threshold: a "score" above it is the second class.
        dropped: the operators between tensor and output that do not change labels.
        output_is_labels: whether the output itself holds labels.
    """

    output: str
    tensor: str
    kind: str
    channels_last: bool
    output_last: bool
    size_hw: tuple[int, int]
    threshold: float = 0.0
    dropped: tuple[str, ...] = ()
    output_is_labels: bool = False


def find_entry(path: Path, model: onnx.ModelProto) -> Entry:
    """Return what the network takes.

    Raises:
        ExportError: it takes several things, or none that is a colour picture.
    """
    held = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in held]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "nothing"
        raise ExportError(f"{path} takes {names}, expected one picture; give the network alone")
    (value,) = inputs
    tensor = value.type.tensor_type
    dims = [d.dim_value if d.HasField("dim_value") else 0 for d in tensor.shape.dim]
    shown = "x".join(str(d or "?") for d in dims) or "of no shape"
    if not value.type.HasField("tensor_type") or tensor.elem_type not in TAKEN or len(dims) != 4:
        raise ExportError(
            f"{path} takes {value.name} {shown}, expected one colour picture of floats or bytes: "
            "N,3,H,W or N,H,W,3"
        )
    last = dims[3] == 3 and dims[1] != 3
    if not last and dims[1] not in (0, 3):
        raise ExportError(
            f"{path} takes {value.name} {shown}, {dims[1]} channels, expected the 3 of a colour "
            "picture"
        )
    if dims[0] > 1:
        raise ExportError(
            f"{path} takes {dims[0]} pictures at once, expected 1; export it again with batch 1 "
            "or a dynamic one"
        )
    height, width = (dims[1], dims[2]) if last else (dims[2], dims[3])
    size = (height, width) if height and width else None
    return Entry(value.name, last, size, tensor.elem_type == TensorProto.UINT8)


def find_exit(
    path: Path,
    view: GraphView,
    size_hw: tuple[int, int],
    classes: Sequence[str],
    wanted: str | None = None,
) -> Exit:
    """Return what the network gives.

    Args:
        path: for messages.
        view: the network, its shapes known.
        size_hw: of its picture.
        classes: their names, which the network must have as many of.
        wanted: the output to take; None takes the first that gives classes.

    Raises:
        ExportError: no output gives scores or labels, or of another number of classes.
        UsageError: there is no output `wanted`.
    """
    if wanted is not None and wanted not in view.outputs:
        raise UsageError(f"{path} has no output {wanted!r}; it has {', '.join(view.outputs)}")
    other: list[str] = []
    for name in view.outputs if wanted is None else [wanted]:
        found = _exit(view, name, size_hw, len(classes))
        if isinstance(found, Exit):
            return found
        if found:
            other.append(found)
    if other:
        raise ExportError(
            f"{path}: {other[0]}, --classes names {len(classes)} ({classes[0]}, …); give the "
            "classes that it was trained with, one a line in the order of its labels"
        )
    given = ", ".join(f"{name} {_shape(view, name)}" for name in view.outputs[:4])
    more = "" if len(view.outputs) <= 4 else f" and {len(view.outputs) - 4} more"
    raise ExportError(
        f"{path} gives {given}{more}, {EXPECTED}; a detector or a classifier is no segmentation "
        "network"
    )


def _exit(view: GraphView, name: str, size_hw: tuple[int, int], classes: int) -> Exit | str | None:
    """Return an output's exit; a text where its classes are of another number; None: no map."""
    shape = view.shape_of(name)
    if shape is None or shape[:1] != (1,):
        return None
    behind = _labels_from(view, name)
    if behind is not None:
        tensor, about, dropped = behind
        found = _scores(view, tensor, size_hw, classes, about.get("axis"))
        if not isinstance(found, Exit):
            return found
        threshold = about.get("threshold", found.threshold)
        if found.kind == "score" and "threshold" not in about:
            # The best of one class is always that class.
            return None
        return dataclasses.replace(
            found,
            output=name,
            threshold=threshold,
            dropped=(*dropped, *found.dropped),
            output_is_labels=True,
        )
    if view.type_of(name) in FLOATS:
        return _scores(view, name, size_hw, classes, None) if len(shape) == 4 else None
    if view.type_of(name) in INTEGERS:
        last = len(shape) == 4 and shape[3] == 1 and shape[1] != 1
        one = len(shape) == 4 and 1 in (shape[1], shape[3])
        plane = shape[1:3] if len(shape) == 3 or last else shape[2:4]
        if (len(shape) == 3 or one) and _is_map(plane, size_hw):
            size = plane[0], plane[1]
            return Exit(name, name, "labels", last, last, size, output_is_labels=True)
    return None


def _labels_from(view: GraphView, name: str) -> tuple[str, dict[str, Any], tuple[str, ...]] | None:
    """Look back from labels to the scores that they are the best of, or to a threshold."""
    dropped = []
    node = view.producers.get(name)
    while node is not None and node.op_type in MOVING:
        dropped.append(node.op_type)
        node = view.producers.get(node.input[0])
    if node is None:
        return None
    if node.op_type == "ArgMax":
        about = attributes(node)
        shape = view.shape_of(node.input[0])
        if shape is None or len(shape) != 4 or about.get("select_last_index", 0):
            return None
        return node.input[0], {"axis": about.get("axis", 0) % 4}, (*dropped, "ArgMax")
    if node.op_type in ("Greater", "GreaterOrEqual") and node.input[1] in view.constants:
        limit = view.constants[node.input[1]]
        if limit.size == 1:
            return node.input[0], {"threshold": float(limit.ravel()[0])}, (*dropped, node.op_type)
    return None


def _scores(
    view: GraphView, name: str, size_hw: tuple[int, int], classes: int, axis: int | None
) -> Exit | str | None:
    shape = view.shape_of(name)
    if shape is None or len(shape) != 4:
        return None
    layouts = [last for last in (False, True) if axis in (None, CLASS_AXIS[last])]
    maps = [last for last in layouts if _is_map(_plane(shape, last), size_hw)]
    if not maps:
        return None
    wanted = (classes, 1) if classes == 2 else (classes,)
    fitting = [last for last in maps if shape[CLASS_AXIS[last]] in wanted]
    # Where both could be, the map is the one shaped like the picture.
    last = min(fitting or maps, key=lambda each: _distortion(_plane(shape, each), size_hw))
    count = shape[CLASS_AXIS[last]]
    if not fitting:
        return f"its output {name} gives {count} classes"
    tensor, last_there, dropped = _peeled(view, name, last)
    single = count == 1
    threshold = 0.0
    if single and "Sigmoid" not in dropped and _is_probability(view, tensor):
        threshold = 0.5
    return Exit(
        name,
        tensor,
        "score" if single else "scores",
        last_there,
        last,
        _plane(shape, last),
        threshold,
        dropped,
    )


def _peeled(view: GraphView, name: str, last: bool) -> tuple[str, bool, tuple[str, ...]]:
    """Go back over operators at the end that do not change which class is best.

    Args:
        view: the network.
        name: of an output of rank 4.
        last: whether it is N,h,w,K rather than N,K,h,w.

    Returns:
        The furthest tensor in one of these two layouts, whether it is N,h,w,K, and the operators
        behind it.
    """
    layout = LAYOUTS[last]
    dropped: tuple[str, ...] = ()
    found = name, last, dropped
    while (node := view.producers.get(name)) is not None:
        about = attributes(node)
        axis = layout.index("K")
        if node.op_type in ("Softmax", "LogSoftmax"):
            over = about.get("axis", -1 if view.opset >= 13 else 1) % 4
            # Before opset 13 all axes from this one on are one, which keeps the order too.
            if axis != over and (view.opset >= 13 or over > axis):
                break
        elif node.op_type == "Transpose":
            turn = tuple(about.get("perm", (3, 2, 1, 0)))
            layout = "".join(layout[turn.index(place)] for place in range(4))
        elif node.op_type == "Cast":
            if view.type_of(node.input[0]) not in FLOATS:
                break
        elif node.op_type not in ("Sigmoid", "Identity", "Dropout"):
            break
        if node.op_type != "Identity":
            dropped = (*dropped, node.op_type)
        name = node.input[0]
        if layout in LAYOUTS:
            found = name, layout == LAYOUTS[True], dropped
    return found


def _is_probability(view: GraphView, name: str) -> bool:
    """Tell whether a score lies between 0 and 1 by what made it."""
    node = view.source(name, frozenset(AVERAGING))
    if node is None:
        return False
    if node.op_type == "Clip":
        limits = [
            float(view.constants[n].ravel()[0]) for n in node.input[1:] if n in view.constants
        ]
        return limits == [0.0, 1.0]
    return node.op_type in ("Sigmoid", "HardSigmoid", "Softmax")


def _plane(shape: tuple[int, ...], last: bool) -> tuple[int, int]:
    return (shape[1], shape[2]) if last else (shape[2], shape[3])


def _is_map(plane: Sequence[int], size_hw: tuple[int, int]) -> bool:
    return all(
        side * COARSEST >= whole and side <= 4 * whole and side > 1
        for side, whole in zip(plane, size_hw, strict=True)
    )


def _distortion(plane: tuple[int, int], size_hw: tuple[int, int]) -> float:
    """Return how far a map's shape is from the picture's: 1 where they are alike."""
    ratio = plane[0] * size_hw[1] / (plane[1] * size_hw[0])
    return max(ratio, 1 / ratio)


def _shape(view: GraphView, name: str) -> str:
    shape = view.shape_of(name)
    return "of no fixed shape" if shape is None else "x".join(map(str, shape))
