"""Taking argmax and resize off a graph, and leaving alone what ends otherwise."""

import onnx
import pytest
from endings import ending
from onnx import TensorProto, helper

from edgeseg.core.graph.logits_end import end_at_logits


def read_elsewhere() -> onnx.ModelProto:
    model = ending()
    model.graph.node.append(helper.make_node("Identity", ["large"], ["again"]))
    return model


def second_output() -> onnx.ModelProto:
    model = ending()
    model.graph.output.append(helper.make_tensor_value_info("index", TensorProto.INT64, None))
    return model


def wide_labels() -> onnx.ModelProto:
    model = ending()
    model.graph.output[0].type.tensor_type.elem_type = TensorProto.INT64
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: ending(axis=2),
        lambda: ending(last=1),
        lambda: ending(mode="nearest"),
        lambda: ending(mode="cubic"),
        lambda: ending(coordinate_transformation_mode="align_corners"),
        lambda: ending(antialias=1),
        read_elsewhere,
        second_output,
        wide_labels,
    ],
)
def test_a_graph_that_ends_otherwise_is_left_alone(make):
    model = make()
    before = model.SerializeToString()
    assert end_at_logits(model, "labels") is None
    assert model.SerializeToString() == before
