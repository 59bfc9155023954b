import numpy as np
import onnx
import onnxruntime as ort
import pytest
from tinybundle import expected_labels, graph, random_frame

from edgeseg.target.backends.four_channels import widen_rgb
from edgeseg.target.backends.uint8_activations import rewrite_activations


def with_private_weights() -> onnx.ModelProto:
    """The tiny INT8 graph, its first convolution reading weights of its own."""
    model = graph(int8=True)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    own = onnx.TensorProto()
    own.CopyFrom(tensors["eye_q"])
    own.name = "stem_q"
    model.graph.initializer.append(own)
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    first.input[1] = "stem_w"
    model.graph.node.insert(
        0,
        onnx.helper.make_node(
            "DequantizeLinear", ["stem_q", "eye_scale", "eye_zero"], ["stem_w"], axis=0
        ),
    )
    return model


def logits(model: onnx.ModelProto, frame: np.ndarray, *, optimize: bool) -> list[np.ndarray]:
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    copy.graph.output.append(onnx.ValueInfoProto(name="logits"))
    options = ort.SessionOptions()
    options.log_severity_level = 3
    levels = ort.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if optimize else levels.ORT_DISABLE_ALL
    session = ort.InferenceSession(copy.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(["logits", "labels"], {"frame": frame})


@pytest.mark.parametrize("uint8", [False, True])
@pytest.mark.parametrize("optimize", [False, True])
def test_the_result_is_the_same_to_the_bit(uint8, optimize):
    before, after = with_private_weights(), with_private_weights()
    if uint8:
        rewrite_activations(before)
        rewrite_activations(after)
    # The tiny graph's convolutions all have three channels; only the first owns its weights.
    assert widen_rgb(after) == 1
    onnx.checker.check_model(after, full_check=True)
    frame = random_frame(6)[None]
    for a, b in zip(
        logits(before, frame, optimize=optimize), logits(after, frame, optimize=optimize),
        strict=True,
    ):  # fmt: skip
        assert np.array_equal(a, b)
    assert np.array_equal(logits(after, frame, optimize=True)[1], expected_labels(frame))


def test_the_stem_then_has_four_channels():
    model = with_private_weights()
    widen_rgb(model)
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    kernel = onnx.numpy_helper.to_array(tensors["stem_q"])
    assert kernel.shape == (3, 4, 1, 1)
    assert not kernel[:, 3].any()


def test_shared_weights_and_float_graphs_are_left_alone():
    for model in (graph(int8=True), graph()):
        before = model.SerializeToString()
        assert widen_rgb(model) == 0
        assert model.SerializeToString() == before
