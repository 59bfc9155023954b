import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tinybundle import expected_labels, graph, random_frame

from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.core.graph.strip_quantization import without_quantization
from edgeseg.core.graph.view import GraphView
from edgeseg.core.zoo import default_bundle
from edgeseg.errors import BackendError


def labels(data: bytes, frame: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(["labels"], {"frame": frame})[0]


def test_the_float_graph_gives_the_labels_and_has_no_quantizer_left():
    data = without_quantization(graph(int8=True).SerializeToString())
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    assert not {n.op_type for n in model.graph.node} & {"QuantizeLinear", "DequantizeLinear"}
    assert not any(t.data_type == TensorProto.INT8 for t in model.graph.initializer)
    frame = random_frame(3)[None]
    assert np.array_equal(labels(data, frame), expected_labels(frame))


@pytest.mark.parametrize("shipped", [False, True])
def test_fp16_islands_give_a_graph_whose_types_fit(shipped):
    model = onnx.load(default_bundle().onnx_path) if shipped else graph(int8=True)
    data = without_quantization(with_fp16_islands(model).SerializeToString())
    view = GraphView(onnx.load_from_string(data))
    onnx.checker.check_model(view.model, full_check=True)
    convs = [node for node in view.nodes if node.op_type == "Conv"]
    assert {view.type_of(name) for node in convs for name in node.input} == {"FP16"}


def test_weights_are_what_their_levels_stand_for_in_the_scales_type():
    levels = np.arange(-6, 6, dtype=np.int8).reshape(2, 3, 2, 1)
    scale = np.array([0.5, 0.25], np.float16)
    node = helper.make_node("DequantizeLinear", ["q", "s", "z"], ["w"], axis=0)
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    value = helper.make_tensor_value_info
    made = helper.make_graph(
        [node, conv], "g", [value("x", TensorProto.FLOAT16, [1, 3, 4, 4])],
        [value("y", TensorProto.FLOAT16, None)],
        [numpy_helper.from_array(levels, "q"), numpy_helper.from_array(scale, "s"),
         numpy_helper.from_array(np.zeros(2, np.int8), "z")],
    )  # fmt: skip
    model = onnx.load_from_string(without_quantization(helper.make_model(made).SerializeToString()))
    (weight,) = model.graph.initializer
    found = numpy_helper.to_array(weight)
    assert found.dtype == np.float16
    assert np.array_equal(found, levels * scale.reshape(2, 1, 1, 1))


def test_the_shipped_model_keeps_its_labels_without_quantization():
    bundle = default_bundle()
    golden = bundle.golden()
    data = without_quantization(bundle.onnx_path.read_bytes())
    assert (labels(data, golden.frame) == golden.labels).mean() > 0.9


def test_what_is_no_graph_is_one_line():
    with pytest.raises(BackendError, match="export it again"):
        without_quantization(b"no graph")
