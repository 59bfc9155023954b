import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper

from edgeseg.host.export.graph_passes import (
    lift_residuals,
    name_nodes,
    pool_globally,
    residual_entry,
    resize_scales,
    set_metadata,
    share_constants,
    split_planes,
    store_int8_weights,
    strip,
)
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.quantization.fake_quant.layers import quantize_weight, weight_scale

FLOAT = onnx.TensorProto.FLOAT


def graph(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    return helper.make_model(
        helper.make_graph(
            nodes,
            "test",
            [helper.make_tensor_value_info("x", FLOAT, [1, 3, 6, 8])],
            [helper.make_tensor_value_info("y", FLOAT, [None] * 4)],
            [numpy_helper.from_array(value, name) for name, value in constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def test_weights_become_int8_with_the_training_operators_levels() -> None:
    # Half of the range is exactly between two levels: 63.5.
    weight = torch.tensor([[1.0, 0.5, -0.5], [0.25, -2.0, 1.0]]).view(2, 3, 1, 1)
    scale = weight_scale(weight, 0)
    model = graph(
        [
            helper.make_node("QuantizeLinear", ["w", "s", "z"], ["q"], axis=0),
            helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"], axis=0),
            helper.make_node("Conv", ["x", "d"], ["y"]),
        ],
        {"w": weight.numpy(), "s": scale.numpy(), "z": np.zeros(2, np.int8)},
    )
    assert store_int8_weights(model) == 1
    stored = constants(model)
    assert set(stored) == {"w_q", "w_scale", "z"}
    assert stored["w_q"].dtype == np.int8
    expected = quantize_weight(weight, 0).numpy()
    assert np.array_equal(stored["w_q"] * stored["w_scale"].reshape(2, 1, 1, 1), expected)
    assert [node.op_type for node in model.graph.node] == ["DequantizeLinear", "Conv"]


def test_equal_weights_and_scales_that_are_stored_once_serve_every_convolution() -> None:
    weight = torch.eye(3).view(3, 3, 1, 1)
    one = np.float32(1 / 127)
    chain = [
        node
        for k, (w, x, y) in enumerate([("w", "x", "a"), ("w", "a", "b"), ("v", "b", "y")])
        for node in (
            helper.make_node("QuantizeLinear", [w, "s", "z"], [f"q{k}"]),
            helper.make_node("DequantizeLinear", [f"q{k}", "s", "z"], [f"d{k}"]),
            helper.make_node("Conv", [x, f"d{k}"], [y]),
        )
    ]
    model = graph(
        chain, {"w": weight.numpy(), "v": -weight.numpy(), "s": one, "z": np.zeros((), np.int8)}
    )
    model.ir_version = 10
    assert store_int8_weights(model) == 3
    x = np.random.default_rng(0).random((1, 3, 6, 8), np.float32)
    (found,) = run_unoptimized(model, x)
    np.testing.assert_allclose(found, -x, rtol=1e-6)


def test_activation_quantizers_are_left_alone() -> None:
    model = graph(
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        {"s": np.float32(1), "z": np.int8(0)},
    )
    assert store_int8_weights(model) == 0
    assert len(model.graph.node) == 1


def test_nodes_are_named_after_their_modules() -> None:
    first, second = (helper.make_node("Relu", [a], [b]) for a, b in (("x", "v1"), ("v1", "y")))
    for node in (first, second):
        entry = node.metadata_props.add()
        entry.key = "pkg.torch.onnx.name_scopes"
        entry.value = "['', 'model', 'model.stem.2', 'relu']"
    model = graph([first, second], {"model.stem.0.weight": np.float32(1)})
    name_nodes(model)
    assert [node.name for node in model.graph.node] == ["stem.2/Relu", "stem.2/Relu_2"]
    assert list(model.graph.node[1].input) == ["stem.2/Relu"]
    assert list(model.graph.node[1].output) == ["y"]
    assert set(constants(model)) == {"stem.0.weight"}


def test_a_spatial_mean_becomes_global_pooling() -> None:
    model = graph(
        [
            helper.make_node("ReduceMean", ["x", "axes"], ["m"], keepdims=1),
            helper.make_node("ReduceMean", ["m", "channel"], ["y"], keepdims=1),
        ],
        {"axes": np.array([-1, -2]), "channel": np.array([1])},
    )
    assert pool_globally(model) == 1
    assert [node.op_type for node in model.graph.node] == ["GlobalAveragePool", "ReduceMean"]
    onnx.checker.check_model(model, full_check=True)


def test_equal_constants_are_stored_once_but_types_are_kept_apart() -> None:
    model = graph(
        [
            helper.make_node("Add", ["x", "a"], ["v"]),
            helper.make_node("Add", ["v", "b"], ["w"]),
            helper.make_node("Reshape", ["w", "c"], ["y"]),
        ],
        {
            "a": np.zeros((1, 2), np.float32),
            "b": np.zeros((1, 2), np.float32),
            "c": np.zeros(1, np.int64),
        },
    )
    share_constants(model)
    assert set(constants(model)) == {"a", "c"}
    assert list(model.graph.node[1].input) == ["v", "a"]


def test_stripping_removes_notes_and_the_axis_of_scalar_scales() -> None:
    node = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"], axis=1, doc_string="note")
    node.metadata_props.add().key = "note"
    model = graph([node], {"s": np.float32(1), "z": np.int8(0)})
    strip(model)
    (left,) = model.graph.node
    assert not left.attribute
    assert not left.metadata_props
    assert not left.doc_string


def test_metadata_is_replaced() -> None:
    model = graph([helper.make_node("Relu", ["x"], ["y"])], {})
    set_metadata(model, {"a": "1"})
    set_metadata(model, {"b": "2"})
    assert {entry.key: entry.value for entry in model.metadata_props} == {"b": "2"}


def test_residual_pairs_leave_the_graph_and_their_scales_are_kept() -> None:
    pair = [
        helper.make_node(kind, [source, "s", "z"], [target], name=f"residual.body/{kind}")
        for kind, source, target in (("QuantizeLinear", "c", "q"), ("DequantizeLinear", "q", "d"))
    ]
    model = graph(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="body/Conv"),
            *pair,
            helper.make_node("Add", ["x", "d"], ["y"], name="Add"),
        ],
        {"w": np.zeros((3, 3, 1, 1), np.float32), "s": np.float32(0.5), "z": np.int8(0)},
    )
    assert lift_residuals(model) == {"c": 0.5}
    assert [node.op_type for node in model.graph.node] == ["Conv", "Add"]
    assert list(model.graph.node[1].input) == ["x", "c"]
    assert set(constants(model)) == {"w"}


def test_a_quantized_resize_offers_its_scale_for_the_tensor_before_it() -> None:
    model = graph(
        [
            helper.make_node("Relu", ["x"], ["r"]),
            helper.make_node("Resize", ["r", "", "f"], ["u"]),
            helper.make_node("QuantizeLinear", ["u", "s", "z"], ["y"]),
            helper.make_node("Resize", ["r", "", "f"], ["logits"]),
        ],
        {"f": np.ones(4, np.float32), "s": np.float32(0.25), "z": np.int8(0)},
    )
    assert resize_scales(model) == {"r": 0.25}


def test_the_metadata_entry_is_json_and_absent_without_scales() -> None:
    assert residual_entry({}) == {}
    assert residual_entry({"c": 0.5}) == {"edgeseg.residual_scales": '{"c": 0.5}'}


def test_a_plane_that_is_a_row_plus_a_column_is_stored_as_two_lines() -> None:
    codes = np.tile(np.array([[4, 3], [2, 1]], np.float32), (3, 4))[None, None]
    other = np.random.default_rng(0).random((1, 1, 6, 8)).astype(np.float32)
    model = graph(
        [
            helper.make_node("Add", ["x", "codes"], ["v"]),
            helper.make_node("Add", ["v", "other"], ["y"]),
        ],
        {"codes": codes, "other": other},
    )
    assert split_planes(model) == 1
    stored = constants(model)
    assert {name: value.size for name, value in stored.items()} == {
        "other": 48, "codes_rows": 6, "codes_columns": 8,
    }  # fmt: skip
    assert np.array_equal(stored["codes_rows"] + stored["codes_columns"], codes)
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    x = np.zeros((1, 3, 6, 8), np.float32)
    assert np.array_equal(run_unoptimized(model, x)[0][0, 0], (codes + other)[0, 0])
