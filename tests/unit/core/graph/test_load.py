"""Graphs that no runtime may see."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tinybundle import graph, tiny_bundle, vouched

from edgeseg.core.graph.load import bundle_graph, check_graph, parse_graph, read_graph
from edgeseg.core.zoo import find_bundle, zoo_names
from edgeseg.errors import BundleError
from edgeseg.runtime.backends import open_backend

RUNTIMES = ("onnxruntime", "openvino")


def cast_circle(model):
    for node in list(model.graph.node):
        if "labels" in node.output:
            model.graph.node.remove(node)
    model.graph.node.append(helper.make_node("Cast", ["labels"], ["round"], to=TensorProto.UINT8))
    model.graph.node.append(helper.make_node("Cast", ["round"], ["labels"], to=TensorProto.UINT8))


def circle_of_one(model):
    model.graph.node[1].input[0] = model.graph.node[1].output[0]


def made_twice(model):
    model.graph.node.append(helper.make_node("Identity", ["frame"], ["labels"]))


def no_output(model):
    model.graph.output[0].name = "elsewhere"


def short_weight(model):
    tensor = next(t for t in model.graph.initializer if t.name == "eye")
    tensor.raw_data = tensor.raw_data[:-4]


def vast_shape(model):
    tensor = next(t for t in model.graph.initializer if t.name == "eye")
    tensor.dims[:] = [1 << 40, 1 << 40]


def negative_shape(model):
    next(t for t in model.graph.initializer if t.name == "eye").dims[0] = -3


def unknown_operator(model):
    model.graph.node[1].op_type = "NoSuchOperator"


def circle_inside(model):
    inner = helper.make_graph(
        [helper.make_node("Relu", ["b"], ["a"]), helper.make_node("Relu", ["a"], ["b"])],
        "inner", [], [helper.make_tensor_value_info("a", TensorProto.FLOAT, None)],
    )  # fmt: skip
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "yes"))
    model.graph.node.append(
        helper.make_node("If", ["yes"], ["z"], then_branch=inner, else_branch=inner)
    )


FAULTS = {
    cast_circle: "reads 'labels', which nothing before it makes",
    circle_of_one: "which nothing before it makes",
    made_twice: "makes 'labels', which is there already",
    no_output: "nothing makes its output 'elsewhere'",
    short_weight: "has 32 bytes",
    vast_shape: "'eye' has",
    negative_shape: "negative size",
    unknown_operator: "NoSuchOperator",
    circle_inside: "which nothing before it makes",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_broken_graph_reaches_no_runtime(tmp_path, fault):
    model = graph()
    fault(model)
    bundle = vouched(tiny_bundle(tmp_path / "b").path, model=model.SerializeToString())
    for name in RUNTIMES:
        with pytest.raises(BundleError, match=FAULTS[fault]):
            open_backend(name, bundle)


def test_weights_outside_the_hashed_file_are_refused_in_a_bundle_and_read_by_lint(tmp_path):
    model = graph()
    tensor = next(t for t in model.graph.initializer if t.name == "eye")
    (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", "weights.bin"), ("offset", "0"), ("length", "36")):
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    data = model.SerializeToString()
    with pytest.raises(BundleError, match="keeps 'eye' in another file"):
        parse_graph(data, tmp_path / "model.onnx")
    (tmp_path / "net.onnx").write_bytes(data)
    assert read_graph(tmp_path / "net.onnx").graph.node
    tensor.external_data[0].value = "../weights.bin"
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "net.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="weights that cannot be read"):
        read_graph(tmp_path / "inside" / "net.onnx")


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_graph_that_is_swapped_after_its_check_does_not_run(tmp_path, name):
    bundle = tiny_bundle(tmp_path / "b")
    model = graph()
    model.graph.initializer[1].CopyFrom(
        numpy_helper.from_array(np.eye(3, dtype=np.float32)[[1, 2, 0]].reshape(3, 3, 1, 1), "eye")
    )
    bundle.onnx_path.write_bytes(model.SerializeToString())
    with pytest.raises(BundleError, match="has changed since it was checked"):
        open_backend(name, bundle)


@pytest.mark.parametrize("name", zoo_names())
def test_the_shipped_graphs_are_sound(name):
    assert bundle_graph(find_bundle(name)).graph.node


def test_a_sound_graph_passes_and_is_not_changed():
    for int8 in (False, True):
        model = graph(int8=int8)
        before = model.SerializeToString(deterministic=True)
        check_graph(model, Path("model.onnx"))
        assert model.SerializeToString(deterministic=True) == before
        onnx.checker.check_model(model)
