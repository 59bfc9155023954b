"""What NVIDIA's parsers of 8.6 and 10.1 did with planted graphs, and that lint says the same.

Each graph was given to onnx-tensorrt 8.6-GA and 10.1-GA with a recording network definition. Left
of the bar stands what lint must say of 8.6, right of it of the lines from 10 on: "error",
"warning", or "-" for neither.
"""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeseg.lint.check import lint
from edgeseg.lint.tensorrt_versions import LINES

F, I8, U8, I32, I64, B, F64 = (
    TensorProto.FLOAT, TensorProto.INT8, TensorProto.UINT8, TensorProto.INT32, TensorProto.INT64,
    TensorProto.BOOL, TensorProto.DOUBLE,
)  # fmt: skip
TYPES = {"F": F, "I8": I8, "I32": I32, "I64": I64, "U8": U8, "B": B, "F64": F64}
X = (F, [1, 4, 8, 8])
C: dict[str, np.ndarray] = {
    "size": np.array([1, 4, 16, 16], np.int64),
    "hw": np.array([16, 16], np.int64),
    "factors": np.array([2, 2], np.float32),
    "grid": np.zeros((1, 8, 8, 2), np.float32),
    "crop": np.array([0, 0, -1, -1, 0, 0, -1, -1], np.int64),
    "ring": np.array([0, 0, 1, 1, 0, 0, 1, 1], np.int64),
    "rank9": np.array([1, 1, 1, 1, 1, 4, 8, 2, 4], np.int64),
    "rank8": np.array([1, 1, 1, 1, 4, 8, 2, 4], np.int64),
    "rank3": np.array([1, 4, 64], np.int64),
    "one": np.ones(4, np.float32),
    "s": np.float32(0.1),
    "s4": np.full(4, 0.1, np.float32),
    "s5": np.full(5, 0.1, np.float32),
    "s4111": np.full((4, 1, 1, 1), 0.1, np.float32),
    "inf": np.float32(np.inf),
    "z": np.int8(0),
    "z4": np.zeros(4, np.int8),
    "z5": np.zeros(5, np.int8),
    "z4111": np.zeros((4, 1, 1, 1), np.int8),
    "u0": np.uint8(0),
    "u128": np.uint8(128),
    "z3": np.int8(3),
    "w": np.ones((4, 4, 3, 3), np.float32),
    "w8": np.ones((4, 4, 3, 3), np.int8),
    "wide": np.array([2**40, 1], np.int64),
    "small": np.array([2**30, 1], np.int64),
    "at": np.array([0, 1], np.int64),
    "start": np.array([0], np.int64),
    "end": np.array([2**62], np.int64),
    "axis1": np.array([1], np.int64),
    "axes2": np.array([2, 3], np.int64),
    "noaxes": np.array([], np.int64),
    "count": np.array([5000], np.int64),
    "few": np.array([5], np.int64),
    "flat": np.array([1, -1], np.int64),
    "long": np.zeros((1, 6000), np.float32),
    "two": np.float64(2),
    "boxes": np.zeros((1, 6, 4), np.float32),
    "scores": np.zeros((1, 1, 6), np.float32),
    "bias8": np.zeros(4, np.int32),
    "zb": np.zeros(4, np.int32),
    "index": np.zeros((1, 4, 8, 8), np.int64),
}


def graph(opset: int, *steps: str, **attributes: object) -> onnx.ModelProto:
    """Build a graph from steps such as "y = Add(x, one)"; attributes go to the last step.

    The graph's input is x, FP32 of 1,4,8,8; its outputs are what no step reads.
    """
    nodes, used = [], set()
    for place, step in enumerate(steps):
        made, call = (part.strip() for part in step.split("=", 1))
        op, _, rest = call.partition("(")
        inputs = [name.strip() for name in rest.rstrip(")").split(",")] if rest != ")" else []
        outputs = [name.strip() for name in made.split(",")]
        own = dict(attributes) if place == len(steps) - 1 else {}
        if ":" in op:
            op, _, extra = op.partition(":")
            name, _, value = extra.partition("=")
            own[name] = TYPES[value] if value in TYPES else json.loads(value.replace(";", ","))
        nodes.append(helper.make_node(op.strip(), inputs, outputs, name=outputs[0], **own))
        used.update(inputs)
    ends = [name for node in nodes for name in node.output if name not in used]
    made_model = helper.make_model(
        helper.make_graph(
            nodes, "planted", [helper.make_tensor_value_info("x", *X)],
            [helper.make_empty_tensor_value_info(name) for name in ends],
            [numpy_helper.from_array(np.asarray(C[name]), name) for name in C if name in used],
        ),
        opset_imports=[helper.make_opsetid("", opset)],
        ir_version=10,
    )  # fmt: skip
    # Types and shapes of the outputs, as an exporter writes them.
    return onnx.shape_inference.infer_shapes(made_model)


HALF = {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn"}
POOL = {"kernel_shape": [2], "strides": [2]}
QDQ = ("q = QuantizeLinear(x, s, z)", "d = DequantizeLinear(q, s, z)")
TRANSPOSED = {"strides": [2, 2], "pads": [1, 1, 1, 1]}
PLANTED: dict[str, tuple[str, onnx.ModelProto]] = {
    # A: the parser refuses, or computes something else and says nothing.
    "grid-linear": ("error|error", graph(20, "y = GridSample(x, grid)", mode="linear")),
    "grid-cubic": ("error|error", graph(20, "y = GridSample(x, grid)", mode="cubic")),
    "grid-bilinear": ("-|-", graph(16, "y = GridSample(x, grid)", mode="bilinear")),
    "grid-bicubic": ("-|-", graph(16, "y = GridSample(x, grid)", mode="bicubic")),
    "grid-nearest": ("-|-", graph(20, "y = GridSample(x, grid)", mode="nearest")),
    "grid-default": ("-|-", graph(16, "y = GridSample(x, grid)")),
    "pad-crop": ("error|error", graph(18, "y = Pad(x, crop)")),
    "pad-crop-reflect": ("error|error", graph(18, "y = Pad(x, crop)", mode="reflect")),
    "pad-crop-behind": ("error|error", graph(18, "p = Identity(crop)", "y = Pad(x, p)")),
    "pad-ring": ("-|-", graph(18, "y = Pad(x, ring)")),
    "pad-wrap": ("error|-", graph(19, "y = Pad(x, ring)", mode="wrap")),
    "pad-edge": ("-|-", graph(19, "y = Pad(x, ring)", mode="edge")),
    "norm-training": (
        "error|error",
        graph(15, "y, m, v = BatchNormalization(x, one, one, one, one)", training_mode=1),
    ),
    "tf-half-floor": (
        "error|error",
        graph(13, "y = Resize(x,,, size)", nearest_mode="floor", **HALF),
    ),
    "tf-half-ceil": (
        "error|error",
        graph(13, "y = Resize(x,,, size)", nearest_mode="ceil", **HALF),
    ),
    "tf-half-linear": (
        "error|error",
        graph(13, "y = Resize(x,,, size)", nearest_mode="floor", **{**HALF, "mode": "linear"}),
    ),
    "tf-half": ("-|-", graph(13, "y = Resize(x,,, size)", **HALF)),
    "relu-int32": ("error|error", graph(14, "i = Cast:to=I32(x)", "y = Relu(i)")),
    "relu-int64": ("error|-", graph(14, "i = Cast:to=I64(x)", "y = Relu(i)")),
    "rank-9": ("error|error", graph(18, "y = Reshape(x, rank9)", "e = Relu(y)")),
    "rank-9-output": ("error|error", graph(18, "y = Reshape(x, rank9)")),
    "rank-8": ("-|-", graph(18, "y = Reshape(x, rank8)", "e = Relu(y)")),
    "scales-4111": (
        "error|error",
        graph(18, *QDQ, "k = DequantizeLinear:axis=0(w8, s4111, z4111)", "y = Conv(d, k)"),
    ),
    "scales-5-of-4": (
        "error|error",
        graph(18, *QDQ, "k = DequantizeLinear:axis=0(w8, s5, z5)", "y = Conv(d, k)"),
    ),
    "noop-mean": ("error|-", graph(18, "y = ReduceMean(x)", noop_with_empty_axes=1)),
    "noop-sum": ("error|-", graph(13, "y = ReduceSum(x)", noop_with_empty_axes=1)),
    "noop-max-empty": ("error|-", graph(18, "y = ReduceMax(x, noaxes)", noop_with_empty_axes=1)),
    "int8-weights": (
        "error|-",
        graph(18, *QDQ, "k = DequantizeLinear:axis=0(w8, s4, z4)", "y = Conv(d, k)"),
    ),
    "float-weights": (
        "-|-",
        graph(
            18,
            *QDQ,
            "l = QuantizeLinear:axis=0(w, s4, z4)",
            "k = DequantizeLinear:axis=0(l, s4, z4)",
            "y = Conv(d, k)",
        ),
    ),
    "int64-wide": ("warning|-", graph(18, "h = Shape(x)", "g = Gather(h, at)", "y = Add(g, wide)")),
    "int64-small": ("-|-", graph(18, "h = Shape(x)", "g = Gather(h, at)", "y = Add(g, small)")),
    "slice-to-end": ("-|-", graph(18, "y = Slice(x, start, end, axis1)")),
    "non-zero": ("error|error", graph(18, "y = NonZero(x)")),
    "nms": (
        "error|error",
        graph(
            18,
            "m = ReduceMax(x)",
            "n = Squeeze(m)",
            "b = Add(boxes, n)",
            "y = NonMaxSuppression(b, scores, few)",
        ),
    ),
    # B: the parser takes it.
    "cubic": ("-|-", graph(18, "y = Resize(x,,, size)", mode="cubic")),
    "resize-axes-sizes": ("error|-", graph(18, "y = Resize(x,,, hw)", mode="linear", axes=[2, 3])),
    "resize-axes-scales": (
        "error|-",
        graph(18, "y = Resize(x,, factors)", mode="nearest", axes=[2, 3]),
    ),
    "dequantize-no-zero": (
        "error|-",
        graph(18, *QDQ, "k = DequantizeLinear:axis=0(w8, s4)", "y = Conv(d, k)"),
    ),
    "quantize-int8-no-zero": (
        "error|-",
        graph(21, "q = QuantizeLinear:output_dtype=I8(x, s)", "y = DequantizeLinear(q, s)"),
    ),
    "quantize-no-zero": (
        "error|error",
        graph(18, "q = QuantizeLinear(x, s)", "y = DequantizeLinear(q, s)"),
    ),
    "doubles": (
        "warning|warning",
        graph(18, "a = Cast:to=F64(x)", "b = Mul(a, two)", "y = Cast:to=F(b)"),
    ),
    "max-pool-1d": ("-|-", graph(18, "r = Reshape(x, rank3)", "y = MaxPool(r)", **POOL)),
    "average-pool-1d": ("-|-", graph(18, "r = Reshape(x, rank3)", "y = AveragePool(r)", **POOL)),
    "lp-pool-1d": ("error|error", graph(18, "r = Reshape(x, rank3)", "y = LpPool(r)", **POOL)),
    "equal-bool": (
        "warning|warning",
        graph(18, "b = Cast:to=B(x)", "y = Equal(b, b)"),
    ),
    "transposed-computed": (
        "warning|warning",
        graph(18, "m = ReduceMax(x)", "k = Mul(w, m)", "y = ConvTranspose(x, k)"),
    ),
    "conv-computed": (
        "warning|warning",
        graph(18, "m = ReduceMax(x)", "k = Mul(w, m)", "y = Conv(x, k)"),
    ),
    "transposed-folded": ("-|-", graph(18, "k = Mul(w, w)", "y = ConvTranspose(x, k)")),
    "opset-7": ("-|warning", graph(7, "y = Relu(x)")),
    "opset-6": ("error|warning", graph(6, "y = Relu(x)")),
    "opset-5": ("error|error", graph(5, "y = Relu(x)")),
    "split-even": ("-|-", graph(18, "a, b = Split(x)", axis=1, num_outputs=2)),
    "split-uneven": ("error|-", graph(18, "a, b, c = Split(x)", axis=2, num_outputs=3)),
    "reduce-int32": ("warning|-", graph(13, "i = Cast:to=I32(x)", "y = ReduceMax(i)")),
    "scale-behind": (
        "error|error",
        graph(
            18, "t = Identity(s)", "q = QuantizeLinear(x, t, z)", "y = DequantizeLinear(q, t, z)"
        ),
    ),
    "weight-axis-1": (
        "error|error",
        graph(18, *QDQ, "k = DequantizeLinear:axis=1(w8, s4, z4)", "y = Conv(d, k)"),
    ),
    "weight-axis-from-the-end": (
        "error|-",
        graph(18, *QDQ, "k = DequantizeLinear:axis=-4(w8, s4, z4)", "y = Conv(d, k)"),
    ),
    "bias-int32": (
        "error|error",
        graph(
            18,
            *QDQ,
            "k = DequantizeLinear:axis=0(w8, s4, z4)",
            "b = DequantizeLinear:axis=0(bias8, s4, zb)",
            "y = Conv(d, k, b)",
        ),
    ),
    # C: the parser swallows it, lint does not.
    "uint8-zero": (
        "error|error",
        graph(18, "q = QuantizeLinear(x, s, u0)", "y = DequantizeLinear(q, s, u0)"),
    ),
    "uint8-zero-128": (
        "error|error",
        graph(18, "q = QuantizeLinear(x, s, u128)", "y = DequantizeLinear(q, s, u128)"),
    ),
    "zero-3": (
        "error|error",
        graph(18, "q = QuantizeLinear(x, s, z3)", "y = DequantizeLinear(q, s, z3)"),
    ),
    "antialias": ("error|error", graph(18, "y = Resize(x,,, size)", mode="linear", antialias=1)),
    "keep-aspect": (
        "error|error",
        graph(18, "y = Resize(x,,, size)", mode="linear", keep_aspect_ratio_policy="not_larger"),
    ),
    "scatter-add": (
        "error|error",
        graph(18, "y = ScatterElements(x, index, x)", reduction="add"),
    ),
    "mean-axes": ("error|-", graph(18, "y = ReduceMean(x, axes2)")),
    "cast-int64": ("error|error", graph(18, "i = ArgMax(x)", "y = Cast:to=U8(i)")),
    "cast-int32": ("error|error", graph(18, "i = Cast:to=I32(x)", "y = Cast:to=U8(i)")),
    "topk-5000": (
        "error|error",
        graph(
            18, "m = ReduceMax(x)", "n = Squeeze(m)", "l = Add(long, n)", "v, i = TopK(l, count)"
        ),
    ),
    "topk-5": ("-|-", graph(18, "f = Reshape(x, flat)", "v, i = TopK(f, few)")),
    "infinite-scale": (
        "error|error",
        graph(18, "q = QuantizeLinear(x, inf, z)", "y = DequantizeLinear(q, inf, z)"),
    ),
    "raw-int8-pool": (
        "error|error",
        graph(
            18,
            "q = QuantizeLinear(x, s, z)",
            "p = MaxPool:kernel_shape=[2;2](q)",
            "y = DequantizeLinear(p, s, z)",
        ),
    ),
    "raw-int8-transpose": (
        "error|error",
        graph(
            18, "q = QuantizeLinear(x, s, z)", "p = Transpose(q)", "y = DequantizeLinear(p, s, z)"
        ),
    ),
    "computed-scale": (
        "error|error",
        graph(
            18,
            "m = ReduceMax:keepdims=0(x)",
            "q = QuantizeLinear(x, m, z)",
            "y = DequantizeLinear(q, m, z)",
        ),
    ),
    "scale-per-channel": (
        "error|error",
        graph(18, "q = QuantizeLinear:axis=1(x, s4, z4)", "y = DequantizeLinear:axis=1(q, s4, z4)"),
    ),
    # Both take it.
    "scatter": ("-|-", graph(18, "y = ScatterElements(x, index, x)")),
    "conv-transpose": (
        "-|-",
        graph(18, "y = ConvTranspose(x, w)", output_padding=[1, 1], **TRANSPOSED),
    ),
    "conv-transpose-same": ("-|-", graph(18, "y = ConvTranspose(x, w)", auto_pad="SAME_UPPER")),
    "opset-11": ("-|-", graph(11, "y = Relu(x)")),
}


@pytest.mark.parametrize("name", PLANTED)
def test_lint_says_of_each_line_what_its_parser_does(name: str):
    expected, model = PLANTED[name]
    old, new = expected.split("|")
    result = lint(model)
    assert "valid-onnx" not in {f.rule for f in result.findings}, result.findings
    said = {
        line: next(
            (
                severity
                for severity in ("error", "warning")
                if any(f.severity == severity and line in f.targets for f in result.findings)
            ),
            "-",
        )
        for line in LINES
        # A strongly typed line wants FP16 islands, which is another matter.
        if line != "trt11.4"
    }
    assert said == {"trt8.6": old, "trt10.3": new, "trt10.16": new}, result.findings


def test_an_output_that_is_the_frame_itself_is_an_error():
    frame = helper.make_tensor_value_info("frame", U8, [1, 8, 8, 3])
    cast = helper.make_node("Cast", ["frame"], ["y"], to=F)
    out = helper.make_tensor_value_info("y", F, [1, 8, 8, 3])
    model = helper.make_model(
        helper.make_graph([cast], "g", [frame], [out, frame]),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    assert [f.rule for f in lint(model).findings if f.severity == "error"] == ["uint8-border"]
