import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tinybundle import graph

from edgeseg.runtime.backends.cpu_rewrites.four_channels import normalize_in_rows, widen_frame
from edgeseg.runtime.backends.cpu_rewrites.uint8_activations import rewrite_activations

SHAPE = (2, 6, 10, 3)


def stem(*, per_image: bool = False) -> onnx.ModelProto:
    """The front of an INT8 graph as export writes it, up to its first convolution."""
    rng = np.random.default_rng(1)
    tensors = {
        "unit": np.float32(1 / 255),
        "mean": np.float32([0.42, 0.43, 0.44]).reshape(1, 3, 1, 1),
        "std": np.float32([0.28, 0.27, 0.26]).reshape(1, 3, 1, 1),
        "scale": np.float32(0.0158),
        "zero": np.int8(0),
        "kernel_q": rng.integers(-127, 128, (8, 3, 3, 3), dtype=np.int8),
        "kernel_scale": rng.uniform(0.001, 0.01, 8).astype(np.float32),
        "kernel_zero": np.zeros(8, np.int8),
        "axes": np.array([2, 3]),
    }
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["planes", "unit"], ["scaled"]),
    ]
    if per_image:
        nodes.append(helper.make_node("ReduceMean", ["scaled", "axes"], ["own"], keepdims=1))
        nodes.append(helper.make_node("Sub", ["scaled", "own"], ["centred"]))
    else:
        nodes.append(helper.make_node("Sub", ["scaled", "mean"], ["centred"]))
    nodes += [
        helper.make_node("Div", ["centred", "std"], ["x"]),
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["x_q"]),
        helper.make_node("DequantizeLinear", ["x_q", "scale", "zero"], ["x_dq"]),
        helper.make_node(
            "DequantizeLinear", ["kernel_q", "kernel_scale", "kernel_zero"], ["w"], axis=0
        ),
        helper.make_node("Conv", ["x_dq", "w"], ["out"], strides=[2, 2], pads=[1, 1, 1, 1]),
    ]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "stem",
            [helper.make_tensor_value_info("frame", TensorProto.UINT8, SHAPE)],
            [helper.make_tensor_value_info("out", TensorProto.FLOAT, [2, 8, 3, 5])],
            [numpy_helper.from_array(np.asarray(value), name) for name, value in tensors.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, frame: np.ndarray, *, optimize: bool) -> np.ndarray:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(["out"], {"frame": frame})[0]


def frames() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, SHAPE, dtype=np.uint8)


def widened(frame: np.ndarray) -> np.ndarray:
    return np.concatenate([frame, np.full_like(frame[..., :1], 255)], axis=-1)


@pytest.mark.parametrize("uint8", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("per_image", [False, True])
def test_the_result_is_the_same_to_the_bit(uint8, optimize, per_image):
    before, after = stem(per_image=per_image), stem(per_image=per_image)
    if uint8:
        assert rewrite_activations(before) == rewrite_activations(after) == 1
    assert widen_frame(after, "frame")
    assert normalize_in_rows(after, "frame") is not per_image
    onnx.checker.check_model(after, full_check=True)
    expected = run(before, frames(), optimize=optimize)
    assert np.array_equal(run(after, widened(frames()), optimize=optimize), expected)
    assert expected.std() > 0.01


def test_rows_alone_change_nothing_either():
    after = stem()
    assert normalize_in_rows(after, "frame")
    assert np.array_equal(
        run(after, frames(), optimize=False), run(stem(), frames(), optimize=False)
    )


def test_the_kernel_then_has_four_channels_and_the_fourth_is_zero():
    model = stem()
    assert widen_frame(model, "frame")
    tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    assert tensors["kernel_q"].shape == (8, 4, 3, 3)
    assert not tensors["kernel_q"][:, 3].any()
    assert tensors["std"][:, 3].all()


def shared_kernel() -> onnx.ModelProto:
    model = stem()
    model.graph.node.append(helper.make_node("Identity", ["kernel_q"], ["again"]))
    return model


def frame_read_twice() -> onnx.ModelProto:
    model = stem()
    model.graph.node.append(helper.make_node("Identity", ["frame"], ["again"]))
    return model


def mean_over_channels() -> onnx.ModelProto:
    model = stem(per_image=True)
    axes = next(tensor for tensor in model.graph.initializer if tensor.name == "axes")
    axes.CopyFrom(numpy_helper.from_array(np.array([1, 2, 3]), "axes"))
    return model


@pytest.mark.parametrize("make", [shared_kernel, frame_read_twice, mean_over_channels, graph])
def test_what_the_fourth_channel_could_change_is_left_alone(make):
    model = make()
    before = model.SerializeToString()
    assert not widen_frame(model, "frame")
    assert model.SerializeToString() == before
