"""Edited graphs: the same labels, in other layers."""

import numpy as np
import onnx
import onnxruntime
import pytest
from draft_graph import H, W, clean
from onnx import TensorProto, helper
from tinybundle import graph

from edgeseg.core.graph.engine_edits import (
    EDITS,
    is_depthwise,
    with_float_depthwise,
    with_label_codes,
)
from edgeseg.core.graph.load import read_graph
from edgeseg.core.graph.view import GraphView
from edgeseg.core.zoo import find_bundle
from edgeseg.errors import ExportError
from edgeseg.lint.check import lines_of, lint


def run(model: onnx.ModelProto, frame: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {session.get_inputs()[0].name: frame})[0]


def head(classes: int, opset: int, kind: int, axis: int, keep: int) -> onnx.ModelProto:
    """Logits in, labels out."""
    nodes = [
        helper.make_node("ArgMax", ["logits"], ["index"], axis=axis, keepdims=keep),
        helper.make_node("Cast", ["index"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["number"], ["labels"], to=TensorProto.UINT8),
    ]
    shape = [2, 1, 5, 7] if keep else [2, 5, 7]
    made = helper.make_graph(
        nodes, "head", [helper.make_tensor_value_info("logits", kind, [2, classes, 5, 7])],
        [helper.make_tensor_value_info("labels", TensorProto.UINT8, shape)],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


@pytest.mark.parametrize("classes", [2, 11, 255])
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
@pytest.mark.parametrize(("opset", "axis", "keep"), [(13, 1, 0), (18, -3, 1)])
def test_label_codes_give_argmax_with_the_first_of_equals(classes, kind, opset, axis, keep):
    model = head(classes, opset, kind, axis, keep)
    made = with_label_codes(model)
    onnx.checker.check_model(made, full_check=True)
    assert "ArgMax" not in {node.op_type for node in made.graph.node}
    # Few values: most pixels are ties.
    rng = np.random.default_rng(classes)
    logits = rng.integers(-2, 2, (2, classes, 5, 7)).astype(
        np.float16 if kind == TensorProto.FLOAT16 else np.float32
    )
    assert np.array_equal(run(made, logits), run(model, logits))
    wanted = logits.argmax(1, keepdims=bool(keep))
    assert np.array_equal(run(made, logits), wanted)


def test_label_codes_of_a_network_lint_clean():
    model = clean().model()
    made = with_label_codes(model)
    newer = lint(made, lines=lines_of(["trt10.3", "trt10.16"]))
    assert not [f for f in newer.findings if f.severity == "error"]
    with pytest.raises(ExportError, match="this parser reads opset 17"):
        with_label_codes(model, opset=17)
    frame = np.random.default_rng(1).integers(0, 256, (1, H, W, 3), np.uint8)
    assert np.array_equal(run(made, frame), run(model, frame))


@pytest.mark.parametrize("fault", ["classes", "axis", "head", "reader"])
def test_label_codes_refuse_what_they_would_change(fault: str):
    model = head(256 if fault == "classes" else 3, 18, TensorProto.FLOAT, 1, 0)
    if fault == "axis":
        model.graph.node[0].attribute[0].i = 2
        model.graph.output[0].CopyFrom(
            helper.make_tensor_value_info("labels", TensorProto.UINT8, [2, 3, 7])
        )
    elif fault == "head":
        model.graph.node[0].op_type = "ArgMin"
    elif fault == "reader":
        model.graph.node.append(helper.make_node("Identity", ["index"], ["also"]))
        model.graph.output.append(helper.make_tensor_value_info("also", TensorProto.INT64, None))
    with pytest.raises(ExportError):
        with_label_codes(model)


def test_depthwise_convolutions_leave_int8_and_no_others():
    bundle = find_bundle("deeplabv3plus-mobilenetv2-camvid-slim")
    model = read_graph(bundle.onnx_path)
    view = GraphView(model)
    depthwise = [n.output[0] for n in view.nodes if is_depthwise(view, n)]
    made = with_float_depthwise(model)
    after = GraphView(made)
    assert len(depthwise) > 10
    for node in after.nodes:
        if node.op_type == "Conv" and after.producers.get(node.input[1]) is not None:
            assert node.output[0] not in depthwise
    before, left = lint(model), lint(made)
    assert left.convs_int8 == before.convs_int8 - len(depthwise)
    frame = bundle.golden().frame
    assert (run(made, frame) == run(model, frame)).mean() > 0.9


def test_a_network_without_depthwise_convolutions_says_so():
    with pytest.raises(ExportError, match="no INT8 convolution is depthwise"):
        with_float_depthwise(graph(int8=True))


def test_every_edit_loads():
    for name in EDITS:
        assert callable(EDITS.load(name))
