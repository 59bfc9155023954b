import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from edgeseg.runtime.backends.cpu_rewrites.masks import select_by_product

SIZE = (1, 3, 5, 7)
HALF = (1, 3, 3, 4)


def unpooling(otherwise: float = 0.0, codes: np.ndarray | None = None) -> onnx.ModelProto:
    """The lowered pool and un-pool of a 5x7 map, as export writes it for an odd size."""
    rows = np.array([2.0 * (1 - i % 2) for i in range(5)], np.float32).reshape(1, 1, 5, 1)
    columns = np.array([2.0 - i % 2 for i in range(7)], np.float32).reshape(1, 1, 1, 7)
    if codes is not None:
        rows = codes
    pool = {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}
    nodes = [
        helper.make_node("Add", ["rows", "columns"], ["cells"]),
        helper.make_node("MaxPool", ["x"], ["values"], **pool),
    ]
    for name in ("values", "codes", "deep"):
        if name == "codes":
            nodes += [
                helper.make_node("Equal", ["x", "values_up"], ["is_max"]),
                helper.make_node("Where", ["is_max", "cells", "zero"], ["marked"]),
                helper.make_node("MaxPool", ["marked"], ["codes"], **pool),
            ]
        nodes += [
            helper.make_node("Resize", [name, "", "scales"], [f"{name}_double"], mode="nearest",
                             coordinate_transformation_mode="asymmetric", nearest_mode="floor"),
            helper.make_node("Slice", [f"{name}_double", "from", "to", "axes"], [f"{name}_up"]),
        ]  # fmt: skip
    nodes += [
        helper.make_node("Equal", ["codes_up", "cells"], ["here"]),
        helper.make_node("Where", ["here", "deep_up", "zero"], ["unpooled"]),
    ]
    constants = {
        "rows": rows, "columns": columns, "zero": np.float32(otherwise),
        "scales": np.array([1, 1, 2, 2], np.float32), "from": np.array([0, 0]),
        "to": np.array([5, 7]), "axes": np.array([2, 3]),
    }  # fmt: skip
    graph = helper.make_graph(
        nodes,
        "unpooling",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, SIZE),
            helper.make_tensor_value_info("deep", TensorProto.FLOAT, HALF),
        ],
        [helper.make_tensor_value_info("unpooled", TensorProto.FLOAT, SIZE)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    return model


def run(model: onnx.ModelProto, x: np.ndarray, deep: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x, "deep": deep})[0]


def test_unpooling_by_products_gives_the_same_map():
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, SIZE).astype(np.float32)  # with ties
    deep = rng.normal(size=HALF).astype(np.float32)
    before = unpooling()
    after = onnx.ModelProto.FromString(before.SerializeToString())
    assert select_by_product(after) == 2
    onnx.checker.check_model(after, full_check=True)
    assert not [node for node in after.graph.node if node.op_type == "Where"]
    expected = run(before, x, deep)
    assert np.array_equal(run(after, x, deep), expected)
    # Each window keeps its value in one cell; the windows of the cut border keep theirs too.
    assert np.count_nonzero(expected) == deep.size


def test_what_a_product_would_change_is_left_alone():
    assert select_by_product(unpooling(otherwise=1.0)) == 0
    infinite = unpooling(codes=np.full((1, 1, 5, 1), np.inf, np.float32))
    assert select_by_product(infinite) == 1
    left = [node.output[0] for node in infinite.graph.node if node.op_type == "Where"]
    assert left == ["marked"]


def test_a_selection_by_anything_but_a_comparison_is_left_alone():
    model = unpooling()
    for node in model.graph.node:
        if node.op_type == "Equal" and node.output[0] == "here":
            node.op_type = "Less"
    assert select_by_product(model) == 1
