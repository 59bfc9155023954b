"""Convolutions taken out of INT8: those that a builder's message names, and no others."""

import numpy as np
import onnx
import onnxruntime
import pytest
from draft_graph import clean

from edgeseg.core.graph.float_convolutions import convolutions_in, with_float_convolutions
from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.core.graph.view import GraphView
from edgeseg.lint.check import lines_of, lint

NO_KERNEL = "Error Code 10: Internal Error (Could not find any implementation for node {}.)"


def labels(model: onnx.ModelProto) -> np.ndarray:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    frame = np.random.default_rng(1).integers(0, 256, (1, 8, 12, 3), np.uint8)
    return session.run(None, {"frame": frame})[0]


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        ("branch", ["branch"]),
        ("branch.w + branch + sum", ["branch"]),
        ("stem + act || branch", ["stem", "branch"]),
        ("{ForeignNode[stem...deep]}", ["stem", "branch", "deep"]),
        ("{ForeignNode[branch.w + branch...refine]}", ["branch", "deep", "refine"]),
        ("logits", []),  # float already
        ("something else", []),
        ("PWN(act)", []),
    ],
)
def test_a_message_names_convolutions(named: str, expected: list[str]):
    view = GraphView(clean().model())
    assert convolutions_in(view, NO_KERNEL.format(named)) == expected


def test_a_node_without_a_name_has_the_parsers():
    model = clean().model()
    for node in model.graph.node:
        node.name = ""
    assert convolutions_in(GraphView(model), NO_KERNEL.format("node_of_stem")) == ["node_of_stem"]


@pytest.mark.parametrize("names", [["branch"], ["stem", "deep"], ["refine"]])
@pytest.mark.parametrize("islands", [False, True])
def test_only_these_compute_in_float(names: list[str], islands: bool):
    model = with_fp16_islands(clean().model()) if islands else clean().model()
    made = with_float_convolutions(model, names)
    onnx.checker.check_model(made, full_check=True)
    lines = lines_of(["trt11.4" if islands else "trt10.3"])
    before, after = lint(model, lines=lines), lint(made, lines=lines)
    assert after.convs_int8 == before.convs_int8 - len(names)
    assert not [f for f in after.findings if f.severity == "error"]
    view = GraphView(made)
    for name in names:
        node = view.producers[name]
        assert view.constants[node.input[1]].dtype.kind == "f"
    # One activation less is rounded here, nothing else changes.
    assert (labels(made) == labels(model)).mean() > 0.9


def test_no_name_changes_nothing():
    model = clean().model()
    assert with_float_convolutions(model, []) == model
