import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from trained_nets import calibrated, frames, spec_of, trained

from edgeseg.core.graph.fp16_islands import half_scale, with_fp16_islands
from edgeseg.core.graph.view import GraphView
from edgeseg.errors import ExportError
from edgeseg.host.export.export import deployed, export_onnx
from edgeseg.host.export.onnxsim import run_unoptimized

SIZE = (75, 101)


@pytest.fixture(scope="module")
def forms():
    spec = spec_of("segnet-basic", SIZE)
    net = calibrated(spec, trained(spec))
    model = onnx.load_from_string(export_onnx(spec, net, "int8", raw_logits=True))
    return spec, net, model, with_fp16_islands(model)


def test_labels_stay_within_the_noise_floor(forms):
    spec, net, model, islands = forms
    rgb, _ = frames(SIZE, 1, seed=9)
    labels, logits = run_unoptimized(model, rgb.numpy())
    half_labels, half_logits = run_unoptimized(islands, rgb.numpy())
    # The floor: the torch network against itself under a disturbance of FP16's rounding.
    with torch.no_grad():
        lowered = deployed(spec, net, "int8", raw_logits=True)
        x = lowered.normalize(rgb)
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
        moved = lowered.model(x * (1 + 2**-11 * noise)).numpy()
    floor = np.square(moved - logits).mean()
    assert np.square(half_logits - logits).mean() < 4 * floor
    assert (half_labels == labels).mean() > (moved.argmax(1) == labels).mean() - 0.01
    assert half_logits.dtype == np.float32


def test_every_float_behind_the_first_quantizer_is_fp16(forms):
    view = GraphView(forms[3])
    for node, before in view.walk_from_inputs():
        types = {view.type_of(name) for name in (*node.input[:1], *node.output)}
        if before or node.op_type == "QuantizeLinear" or node.op_type == "Cast":
            continue
        assert "FP32" not in types, node.name
    scales = {
        view.type_of(node.input[1]) for node in view.nodes if node.op_type == "DequantizeLinear"
    }
    assert scales == {"FP16"}
    assert view.opset == 20


def test_a_pair_has_one_scale_whatever_its_type(forms):
    view = GraphView(forms[3])
    types = set()
    for node in view.nodes:
        if node.op_type != "QuantizeLinear":
            continue
        (reader,) = view.readers[node.output[0]]
        assert view.type_of(node.input[1]) == view.type_of(node.input[0])
        types.add(view.type_of(node.input[1]))
        assert float(view.constants[node.input[1]]) == float(view.constants[reader.input[1]])
    assert types == {"FP32", "FP16"}


def test_the_int8_levels_are_the_same(forms):
    before, after = (GraphView(model).constants for model in forms[2:])
    levels = [name for name, value in before.items() if value.dtype == np.int8 and value.ndim > 1]
    assert len(levels) == 8
    assert all(np.array_equal(before[name], after[name]) for name in levels)


def test_the_given_model_is_left_alone(forms):
    view = GraphView(forms[2])
    assert view.opset == 18
    assert "FP16" not in {view.type_of(name) for node in view.nodes for name in node.output}


def test_a_scale_below_fp16s_normal_numbers_gets_new_levels():
    scale = np.array([1e-3, 3e-6, 1e-9], np.float32)
    rounded = half_scale(scale).astype(np.float64)
    assert (rounded > 0).all()
    assert (rounded[1:] >= scale[1:]).all()
    levels = np.array([[127], [127], [127]], np.int8).reshape(3, 1, 1, 1)
    model = _conv(levels, scale)
    view = GraphView(with_fp16_islands(model))
    dequantize = view.source(next(n for n in view.nodes if n.op_type == "Conv").input[1])
    assert dequantize is not None
    made = view.constants[dequantize.input[0]].flatten() * view.constants[
        dequantize.input[1]
    ].astype(np.float64)
    exact = levels.flatten() * scale.astype(np.float64)
    assert np.all(np.abs(made - exact) <= np.maximum(rounded / 2, exact * 2**-11))


def test_a_constant_beyond_fp16_is_named():
    model = _conv(np.ones((3, 1, 1, 1), np.int8), np.full(3, 0.1, np.float32), bias=1e6)
    with pytest.raises(ExportError, match="'bias' reaches 1e\\+06, FP16 ends at 65504"):
        with_fp16_islands(model)


def _conv(levels: np.ndarray, scale: np.ndarray, bias: float = 0.0) -> onnx.ModelProto:
    """x -> Q/DQ -> 1x1 convolution with given int8 levels."""
    constants = {
        "levels": levels,
        "scale": scale,
        "zeros": np.zeros(3, np.int8),
        "step": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
        "bias": np.full(3, bias, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "step", "zero"], ["d"]),
        helper.make_node("DequantizeLinear", ["levels", "scale", "zeros"], ["w"], axis=0),
        helper.make_node("Conv", ["d", "w", "bias"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "conv",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 1, 4, 6])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3, 4, 6])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)
