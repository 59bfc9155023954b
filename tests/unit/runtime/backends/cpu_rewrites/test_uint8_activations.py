from collections import Counter

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tinybundle import expected_labels, graph, random_frame

from edgeseg.runtime.backends.cpu_rewrites.uint8_activations import (
    MIDDLE,
    RESIDUAL_SCALES,
    ZERO,
    rewrite_activations,
)


def run(model: onnx.ModelProto, frame: np.ndarray, outputs: list[str]) -> list[np.ndarray]:
    model = onnx.ModelProto.FromString(model.SerializeToString())
    known = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.ValueInfoProto(name=name) for name in outputs if name not in known
    )
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(outputs, {"frame": frame})


def zero_points(model: onnx.ModelProto) -> dict[str, str]:
    return {n.input[0]: n.input[2] for n in model.graph.node if n.op_type == "QuantizeLinear"}


def test_values_after_relu_get_zero_point_0_and_signed_ones_128():
    model = graph(int8=True)
    # x comes from the uint8 frame, sum adds a convolution's result, which may be negative.
    assert rewrite_activations(model) == 4
    assert zero_points(model) == {"x": ZERO, "relu1": ZERO, "conv2": MIDDLE, "sum": MIDDLE}
    onnx.checker.check_model(model, full_check=True)


def test_weights_stay_int8_per_channel():
    model = graph(int8=True)
    rewrite_activations(model)
    weights = [n for n in model.graph.node if n.output[0] == "w"]
    assert [list(n.input) for n in weights] == [["eye_q", "eye_scale", "eye_zero"]]


def test_inside_the_int8_range_every_value_is_the_same():
    before, after = graph(int8=True), graph(int8=True)
    rewrite_activations(after)
    frame = random_frame(3)[None]
    for name in ("x_dq", "relu1_dq", "labels"):
        assert np.array_equal(run(before, frame, [name])[0], run(after, frame, [name])[0]), name


def test_above_the_int8_range_a_non_negative_value_is_kept_instead_of_clipped():
    before = graph(int8=True, reach=0.5)
    after = onnx.ModelProto.FromString(before.SerializeToString())
    rewrite_activations(after)
    frame = np.full((1, 48, 64, 3), 200, np.uint8)
    assert run(before, frame, ["x_dq"])[0].max() == pytest.approx(0.5)
    assert run(after, frame, ["x_dq"])[0].max() == pytest.approx(200 / 255, abs=0.25 / 127)


def test_a_convolution_that_feeds_an_add_is_quantized_from_the_metadata():
    model = graph(int8=True)
    assert [e.key for e in model.metadata_props] == [RESIDUAL_SCALES]
    rewrite_activations(model)
    (add,) = [n for n in model.graph.node if n.op_type == "Add"]
    assert add.input[0] == "conv2_dequantized"


def test_onnxruntime_then_runs_every_convolution_in_integers(tmp_path):
    model = graph(int8=True)
    rewrite_activations(model)
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimized.onnx")
    options.log_severity_level = 3
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    counts = Counter(n.op_type for n in onnx.load(tmp_path / "optimized.onnx").graph.node)
    assert counts["QLinearConv"] == 2
    assert counts["QLinearAdd"] == 1
    frame = random_frame(4)[None]
    assert np.array_equal(session.run(["labels"], {"frame": frame})[0], expected_labels(frame))


def test_a_float_graph_is_left_as_it_is():
    model = graph()
    before = model.SerializeToString()
    assert rewrite_activations(model) == 0
    assert model.SerializeToString() == before


def test_a_quantized_tensor_that_something_else_reads_is_left_alone():
    model = graph(int8=True)
    model.graph.node.append(onnx.helper.make_node("Identity", ["relu1_q"], ["probe"]))
    rewrite_activations(model)
    assert zero_points(model)["relu1"] == "zero"
    assert zero_points(model)["x"] == ZERO
