"""INT8 weights as floats with a Q/DQ pair: the same levels, the same labels."""

import numpy as np
import onnx
import onnxruntime
import pytest
from draft_graph import clean
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

from edgeseg.core.graph.float_weights import with_float_weights
from edgeseg.core.graph.load import read_graph
from edgeseg.core.graph.view import GraphView
from edgeseg.core.zoo import find_bundle, zoo_names
from edgeseg.errors import ExportError


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The int8 that each weight's DequantizeLinear reads, computed where it is computed."""
    view = GraphView(model)
    found = {}
    for node in view.nodes:
        if node.op_type != "DequantizeLinear" or view.is_computed(node.input[0]):
            continue
        source = view.producers.get(node.input[0])
        if source is None:
            found[node.output[0]] = view.constants[node.input[0]]
        else:
            alone = onnx.helper.make_graph(
                [source], "weight", [],
                [onnx.helper.make_tensor_value_info(source.output[0], onnx.TensorProto.INT8, None)],
                [t for t in model.graph.initializer if t.name in source.input],
            )  # fmt: skip
            one = onnx.helper.make_model(alone, opset_imports=model.opset_import)
            (found[node.output[0]],) = ReferenceEvaluator(one).run(None, {})
    return found


def labels(model: onnx.ModelProto, frame: np.ndarray) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    # As it stands: with its optimizations ONNX Runtime would fold the pairs.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return session.run(None, {"frame": frame})[0]


def test_levels_and_labels_are_the_same():
    model = clean().model()
    made = with_float_weights(model)
    onnx.checker.check_model(made)
    before, after = weights_of(model), weights_of(made)
    assert before.keys() == after.keys()
    assert all(np.array_equal(after[name], levels) for name, levels in before.items())
    assert not [t.name for t in made.graph.initializer if t.dims and t.name.endswith(".levels")]
    frame = np.random.default_rng(1).integers(0, 256, (1, 8, 12, 3), np.uint8)
    assert np.array_equal(labels(made, frame), labels(model, frame))
    assert with_float_weights(made) == made


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(n, marks=[pytest.mark.slow] if place else [])
        for place, n in enumerate(zoo_names())
    ],
)
def test_a_shipped_network_keeps_its_levels_and_the_labels_of_its_golden_frame(name: str):
    bundle = find_bundle(name)
    model = read_graph(bundle.onnx_path)
    made = with_float_weights(model)
    before, after = weights_of(model), weights_of(made)
    assert len(before) >= 8
    assert all(np.array_equal(after[key], levels) for key, levels in before.items())
    frame = bundle.golden().frame
    assert np.array_equal(labels(made, frame), labels(model, frame))


def test_a_scale_that_no_float_can_hold_is_refused():
    draft = clean()
    draft.constant("stem.scale", np.full(32, 1e-44))
    with pytest.raises(ExportError, match=r"stem\.w does not come back from its floats"):
        with_float_weights(draft.model())


def test_levels_in_a_constant_node_are_taken_too():
    draft = clean()
    levels = draft.constants.pop("stem.levels")
    draft.before(
        "stem.w", "Constant", [], "stem.levels", value=numpy_helper.from_array(levels, "v")
    )
    assert "stem.levels" not in {name for n in with_float_weights(draft.model()).graph.node
                                 if n.op_type != "Constant" for name in n.input}  # fmt: skip
