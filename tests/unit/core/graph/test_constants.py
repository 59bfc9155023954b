"""What a graph's constants must be, and what its precision is."""

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from tinybundle import graph, tiny_bundle, vouched

from edgeseg.core.graph.constants import check_constants, claim_problem, constant_problems
from edgeseg.errors import BundleError
from edgeseg.runtime.backends.open import open_backend


def spoiled(name: str, value: float, *, int8: bool = False) -> onnx.ModelProto:
    """A graph with one bad value in the constant `name`."""
    model = graph(int8=int8)
    (tensor,) = [t for t in model.graph.initializer if t.name == name]
    values = numpy_helper.to_array(tensor).copy()
    values.reshape(-1)[0] = value
    tensor.CopyFrom(numpy_helper.from_array(values, name))
    return model


def rewritten(bundle, model: onnx.ModelProto):
    """The bundle with another graph."""
    return vouched(bundle.path, model=model.SerializeToString())


def test_sound_graphs_have_no_problem():
    assert constant_problems(graph().graph) == []
    assert constant_problems(graph(int8=True).graph) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_weight_that_is_no_number_is_named(value):
    (problem,) = constant_problems(spoiled("eye", value).graph)
    assert problem == "'eye': 1 of 9 values are NaN or infinite"


@pytest.mark.parametrize("value", [0.0, -0.5])
def test_a_scale_that_is_not_above_0_is_named(value):
    (problem,) = constant_problems(spoiled("scale", value, int8=True).graph)
    assert problem == f"'scale': a scale of {value:g}, expected above 0"


def test_a_constant_node_and_an_inner_graph_are_looked_into():
    model = graph()
    bad = numpy_helper.from_array(np.array([np.nan], np.float32))
    inner = helper.make_graph([helper.make_node("Constant", [], ["deep"], value=bad)], "g", [], [])
    node = helper.make_node("If", ["c"], ["d"], then_branch=inner, else_branch=inner)
    model.graph.node.append(node)
    model.graph.node.append(helper.make_node("Constant", [], ["flat"], value=bad))
    assert [p.split(":")[0] for p in constant_problems(model.graph)] == ["'deep'", "'flat'"]


@pytest.mark.parametrize(
    ("int8", "precision", "problem"),
    [
        (False, "int8", "its manifest says int8, but no layer of its graph is quantized"),
        (True, "fp32", "its manifest says fp32, but its graph is quantized to INT8"),
        (False, "fp16", "its manifest says fp16, but its graph has no FP16 weight"),
        (True, "int8", None),
        (False, "fp32", None),
    ],
)
def test_a_manifest_is_held_against_its_graph(int8, precision, problem):
    assert claim_problem(graph(int8=int8).graph, precision) == problem


def test_the_first_problem_and_their_number_are_told(tmp_path):
    with pytest.raises(BundleError, match=r"m\.onnx: 'eye': 1 of 9 .* \(and 1 more\); export it"):
        check_constants(tmp_path / "m.onnx", spoiled("eye", np.nan), "int8")


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize(
    ("precision", "model", "problem"),
    [
        ("int8", graph(), "no layer of its graph is quantized"),
        ("fp32", spoiled("eye", np.nan), "NaN or infinite"),
    ],
)
def test_a_backend_refuses_such_a_bundle(tmp_path, backend, precision, model, problem):
    bundle = rewritten(tiny_bundle(tmp_path / "b", precision=precision), model)
    with pytest.raises(BundleError, match=problem):
        open_backend(backend, bundle)


def test_onnxruntime_counts_what_it_loaded(tmp_path):
    int8 = tiny_bundle(tmp_path / "int8", precision="int8")
    with open_backend("onnxruntime", int8) as backend:
        assert backend.io.precision == "int8+f32"
        # The last convolution ends in float: nothing quantizes its result.
        assert backend.io.kernels == {"int8": 2, "f32": 1}
    with open_backend("onnxruntime", int8, optimize=False) as backend:
        assert (backend.io.precision, backend.io.kernels) == ("f32", {"f32": 3})
    with open_backend("onnxruntime", tiny_bundle(tmp_path / "f")) as backend:
        assert (backend.io.precision, backend.io.kernels) == ("f32", {"f32": 3})


def test_where_the_runtime_cannot_write_its_graph_it_runs_and_says_unknown(tmp_path, monkeypatch):
    import tempfile

    bundle = tiny_bundle(tmp_path / "b")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with open_backend("onnxruntime", bundle) as backend:
        assert (backend.io.precision, backend.io.kernels) == ("unknown", {})
        assert np.array_equal(backend.infer(bundle.golden().frame), bundle.golden().labels)
