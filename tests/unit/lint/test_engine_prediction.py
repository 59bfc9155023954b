import numpy as np
import onnx
import pytest
from draft_graph import H, W, clean
from onnx import helper

from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.core.graph.view import GraphView
from edgeseg.lint.engine_prediction import Layer, plan_engine


def plan(model: onnx.ModelProto, **options: bool) -> dict[str, Layer]:
    return {layer.name: layer for layer in plan_engine(GraphView(model), **options)}


def test_convolution_add_activation_and_quantizer_are_one_int8_layer():
    layers = plan(clean().model())
    assert layers["stem"].nodes == ("stem", "act", "act.q")
    assert layers["branch"].nodes == ("branch", "sum", "wide.q")
    for name in ("stem", "branch"):
        assert (layers[name].kind, layers[name].precision) == ("convolution", "INT8")


def test_int8_layers_move_one_byte_a_value():
    layers = plan(clean().model())
    size = 32 * H * W
    # The residual reads the skip once: it is the convolution's input too.
    assert layers["branch"].read_bytes == size
    assert layers["branch"].written_bytes == size
    # Levels, per-channel biases in FP16; scales are part of the kernel.
    assert layers["branch"].weight_bytes == 32 * 32 * 9 + 32 * 2
    assert layers["branch"].macs == size * 32 * 9
    assert layers["pooled"].precision == "INT8"
    assert layers["pooled"].written_bytes == size // 4


def test_a_concatenation_of_one_scale_moves_nothing():
    layers = plan(clean().model())
    assert (layers["both"].kind, layers["both"].moved_bytes) == ("concatenation", 0)
    draft = clean()
    draft.constant("up.scale", 0.4)
    copied = plan(draft.model())
    assert copied["both"].kind == "concat"
    assert copied["both"].moved_bytes > 64 * H * W


def test_the_head_and_the_resize_are_float():
    layers = plan(clean().model())
    assert layers["up"].precision == layers["logits"].precision == "FP16"
    assert layers["labels" if "labels" in layers else "index.float"].kind == "pointwise"
    assert layers["logits"].read_bytes == 32 * H * W
    assert layers["logits"].written_bytes == 11 * H * W * 2


def test_float_types_come_from_the_graph_where_the_network_is_strongly_typed():
    model = clean().model()
    strong = plan(model, strongly_typed=True)
    assert strong["logits"].precision == "FP32"
    assert strong["logits"].written_bytes == 11 * H * W * 4
    islands = plan(with_fp16_islands(model), strongly_typed=True)
    assert islands["logits"].precision == "FP16"
    plain = plan(model, fp16=False)
    assert plain["logits"].precision == "FP32"


def test_every_computed_node_is_in_exactly_one_layer():
    model = clean().model()
    names = [name for layer in plan_engine(GraphView(model)) for name in layer.nodes]
    assert len(names) == len(set(names))
    free = {n.name for n in model.graph.node if n.op_type == "DequantizeLinear"} | {"both.q"}
    assert set(names) == {n.name for n in model.graph.node} - free


def test_only_neighbours_of_one_shape_are_fused():
    """Through a resize nothing is fused, or the order of layers would have a cycle."""
    draft = clean()
    draft.constant("half", [1, 1, 0.5, 0.5])
    draft.constant("twice", [1, 1, 2.0, 2.0])
    draft.before("x.q", "Mul", ["x", "x"], "a")
    draft.before("x.q", "Resize", ["a", "", "half"], "down", mode="nearest")
    draft.before("x.q", "Resize", ["down", "", "twice"], "back", mode="nearest")
    draft.before("x.q", "Add", ["a", "back"], "b")
    draft.nodes["x.q"].input[0] = "b"
    layers = plan(draft.model())
    assert layers["a"].nodes == ("a",)
    assert layers["b"].nodes == ("b", "x.q")
    assert layers["a"].written_bytes == 3 * H * W * 2


@pytest.mark.parametrize(("kept", "sparse"), [(2, True), (3, False)])
def test_two_of_four_zeros_along_the_input_channels_qualify(kept: int, sparse: bool):
    draft = clean()
    levels = draft.constants["branch.levels"].copy()
    levels[levels == 0] = 1
    for channel in range(kept, 4):
        levels[:, channel::4] = 0
    draft.constants["branch.levels"] = levels
    assert plan(draft.model())["branch"].sparse is sparse
    assert not plan(draft.model())["stem"].sparse


def test_a_grouped_convolution_never_qualifies():
    draft = clean()
    draft.weight("branch", (32, 4, 3, 3))
    draft.constants["branch.levels"] = np.zeros((32, 4, 3, 3), np.int8)
    names = list(draft.nodes)
    names.insert(names.index("branch"), names.pop(names.index("branch.w")))
    draft.nodes = {name: draft.nodes[name] for name in names}
    draft.nodes["branch"].attribute.append(helper.make_attribute("group", 8))
    assert not plan(draft.model())["branch"].sparse
