"""Type the float parts of an INT8 graph as FP16, for runtimes that take every type from the graph.

TensorRT up to 10 is told with a flag that float layers may run in FP16. TensorRT 11 has no such
flag: what the graph calls FP32 runs in FP32, at twice the bytes. So the bundle carries a second
form of the same network, or the board makes it from the first:

    normalization            FP32, up to the first quantizer
    scales                   rounded to FP16; each DequantizeLinear then gives FP16
    weights of INT8 layers   the same levels; a channel whose scale is below FP16's normal numbers
                             gets new levels for its new scale
    all other constants      FP16
    labels                   as before

A quantizer that reads FP32 keeps its scale in FP32, with the rounded value, so that every Q/DQ pair
has one scale. Opset 20: FP16 scales exist since 19, TensorRT 10.3 reads up to 20.

Source: TensorRT documentation, "Strongly Typed Networks" and "Working with Quantized Types".
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.graph.view import GraphView, attributes
from edgeseg.errors import ExportError

OPSET = 20
HALF_MAX = float(np.finfo(np.float16).max)
# Below this FP16 loses bits of its mantissa.
HALF_NORMAL = float(np.finfo(np.float16).tiny)
HALF_SMALLEST = float(np.finfo(np.float16).smallest_subnormal)
# Metadata that names tensors of the FP32 form, for CPU runtimes.
CPU_ONLY = ("edgeseg.residual_scales",)
FLOAT_TYPE = "edgeseg.float_type"


def with_fp16_islands(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return the FP16-island form of a Q/DQ graph whose float parts are FP32.

    Args:
        model: an exported INT8 graph; it is not changed.

    Raises:
        ExportError: a constant does not fit FP16, or the result is not valid ONNX.
    """
    islands = onnx.ModelProto()
    islands.CopyFrom(model)
    _Rewriter(islands).rewrite()
    for opset in islands.opset_import:
        if opset.domain in ("", "ai.onnx"):
            opset.version = max(opset.version, OPSET)
    kept = [entry for entry in islands.metadata_props if entry.key not in CPU_ONLY]
    del islands.metadata_props[:]
    islands.metadata_props.extend(kept)
    entry = islands.metadata_props.add()
    entry.key, entry.value = FLOAT_TYPE, "fp16"
    try:
        onnx.checker.check_model(islands, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(f"the graph with FP16 islands is not valid ONNX: {error}") from error
    return islands


class _Rewriter:
    def __init__(self, model: onnx.ModelProto) -> None:
        self.graph = model.graph
        self.view = GraphView(model)
        self.half: set[str] = set()  # Computed tensors that are FP16 from here on.
        self.added: dict[str, onnx.TensorProto] = {}
        self.casts: dict[str, str] = {}
        self.nodes: list[onnx.NodeProto] = []

    def rewrite(self) -> None:
        before = {node.output[0] for node, early in self.view.walk_from_inputs() if early}
        for node in self.graph.node:
            if node.output[0] in before:
                self.nodes.append(node)
            elif node.op_type == "QuantizeLinear":
                self._quantizer(node)
            elif node.op_type == "DequantizeLinear":
                self._dequantizer(node)
            elif node.op_type == "Cast":
                self._cast(node)
            else:
                self._float_node(node)
        self._restore_outputs()
        graph = self.graph
        del graph.node[:]
        graph.node.extend(self.nodes)
        del graph.value_info[:]
        graph.initializer.extend(self.added.values())
        read = {name for node in graph.node for name in node.input}
        kept = [tensor for tensor in graph.initializer if tensor.name in read]
        del graph.initializer[:]
        graph.initializer.extend(kept)

    def _quantizer(self, node: onnx.NodeProto) -> None:
        half = node.input[0] in self.half
        node.input[1] = self._scale(node.input[1], np.float16 if half else np.float32)
        self.nodes.append(node)

    def _dequantizer(self, node: onnx.NodeProto) -> None:
        levels, scale = node.input[0], node.input[1]
        if levels in self.view.constants:
            node.input[0] = self._levels(levels, scale, attributes(node).get("axis", 1))
        node.input[1] = self._scale(scale, np.float16)
        self.half.add(node.output[0])
        self.nodes.append(node)

    def _cast(self, node: onnx.NodeProto) -> None:
        """A cast to FP32 of what was not an integer belongs to the islands."""
        source = self.view.type_of(node.input[0])
        target = next(a for a in node.attribute if a.name == "to")
        if target.i == TensorProto.FLOAT and source in ("FP32", "BOOL"):
            target.i = TensorProto.FLOAT16
            self.half.add(node.output[0])
        self.nodes.append(node)

    def _float_node(self, node: onnx.NodeProto) -> None:
        # The scales and the region of a Resize stay FP32 by its definition.
        data = 1 if node.op_type == "Resize" else len(node.input)
        for place, name in enumerate(node.input[:data]):
            if self.view.type_of(name) != "FP32" or name in self.half:
                continue
            if name in self.view.constants:
                node.input[place] = self._constant(name)
            else:
                node.input[place] = self._to_half(name)
        self.half.update(name for name in node.output if self.view.type_of(name) == "FP32")
        self.nodes.append(node)

    def _to_half(self, name: str) -> str:
        if name not in self.casts:
            made = self.casts[name] = f"{name}/fp16"
            self.nodes.append(
                helper.make_node("Cast", [name], [made], name=made, to=TensorProto.FLOAT16)
            )
        return self.casts[name]

    def _restore_outputs(self) -> None:
        """Give float outputs, such as raw logits, back as FP32."""
        for value in self.graph.output:
            if value.name not in self.half:
                continue
            inner = f"{value.name}/fp16"
            for node in self.nodes:
                for names in (node.input, node.output):
                    for place, name in enumerate(names):
                        if name == value.name:
                            names[place] = inner
            self.nodes.append(
                helper.make_node(
                    "Cast", [inner], [value.name], name=value.name, to=TensorProto.FLOAT
                )
            )

    def _constant(self, name: str) -> str:
        value = self.view.constants[name]
        # A mask's minus infinity, or padding, means "the least number there is".
        finite = value[np.isfinite(value)]
        if finite.size and float(np.abs(finite).max()) > HALF_MAX:
            raise ExportError(
                f"constant {name!r} reaches {float(np.abs(finite).max()):g}, FP16 ends at "
                f"{HALF_MAX:g}; export without FP16 islands"
            )
        return self._add(f"{name}_fp16", value.astype(np.float16))

    def _scale(self, name: str, dtype: type[np.floating]) -> str:
        rounded = half_scale(self.view.constants[name])
        suffix = "fp16" if dtype is np.float16 else "fp16_as_fp32"
        return self._add(f"{name}_{suffix}", rounded.astype(dtype))

    def _levels(self, name: str, scale_name: str, axis: int) -> str:
        levels, scale = self.view.constants[name], self.view.constants[scale_name]
        if not (scale < HALF_NORMAL).any():
            return name
        ratio = scale.astype(np.float64) / half_scale(scale).astype(np.float64)
        if scale.ndim:
            ratio = ratio.reshape([-1 if d == axis else 1 for d in range(levels.ndim)])
        return self._add(f"{name}_fp16", np.rint(levels * ratio).astype(np.int8))

    def _add(self, name: str, value: np.ndarray) -> str:
        if name not in self.added:
            self.added[name] = numpy_helper.from_array(np.asarray(value), name)
        return name


def half_scale(scale: np.ndarray) -> np.ndarray:
    """Return a positive FP16 scale: the nearest one, or below the normal numbers the next above.

    Rounded up, a tiny scale still reaches every weight of its channel.
    """
    rounded = np.maximum(scale, HALF_SMALLEST).astype(np.float16)
    short = (scale < HALF_NORMAL) & (rounded.astype(np.float64) < scale)
    return np.where(short, np.nextafter(rounded, np.float16(np.inf)), rounded).astype(np.float16)
