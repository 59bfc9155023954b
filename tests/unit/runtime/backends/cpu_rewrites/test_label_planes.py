import dataclasses

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper
from tinybundle import SIZE_HW, expected_labels, graph, tiny_bundle

from edgeseg.core.bundle import Bundle, Golden, write_bundle
from edgeseg.errors import BackendError
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.cpu_rewrites.label_planes import LabelPlanes, end_at_logits

SMALL, LARGE = (7, 10), (29, 40)
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def ending(size_hw=LARGE, *, axis=1, last=0, **resize) -> onnx.ModelProto:
    """Logits 2,5,7,10 -> resize -> argmax -> two casts -> labels."""
    shape = [2, *size_hw]
    nodes = [
        helper.make_node("Identity", ["logits"], ["planes"]),
        helper.make_node("Resize", ["planes", "", "", "sizes"], ["large"], **{**LINEAR, **resize}),
        helper.make_node(
            "ArgMax", ["large"], ["index"], axis=axis, keepdims=0, select_last_index=last
        ),
        helper.make_node("Cast", ["index"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["float"], ["labels"], to=TensorProto.UINT8),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "end",
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2, 5, *SMALL])],
            [helper.make_tensor_value_info("labels", TensorProto.UINT8, shape)],
            [numpy_helper.from_array(np.array([2, 5, *size_hw]), "sizes")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )


def run(model: onnx.ModelProto, logits: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"logits": logits})[0]


@pytest.mark.parametrize("size_hw", [LARGE, (28, 40), (5, 9), SMALL])
def test_the_labels_are_those_of_the_whole_graph(size_hw):
    logits = np.random.default_rng(0).standard_normal((2, 5, *SMALL), np.float32)
    whole, cut = ending(size_hw), ending(size_hw)
    assert end_at_logits(cut, "labels") == "planes"
    assert [node.op_type for node in cut.graph.node] == ["Identity"]
    onnx.checker.check_model(cut)
    expected = run(whole, logits)
    labels = LabelPlanes((2, *size_hw, 3), 5, None)(run(cut, logits))
    assert labels.shape == (2, *size_hw)
    assert labels.dtype == np.uint8
    assert len(np.unique(expected)) == 5
    # The two interpolate in another order: at an exact border between classes a bit may decide.
    assert (labels == expected).mean() > 0.998


def test_the_first_of_equal_classes_wins():
    logits = np.random.default_rng(0).integers(0, 3, (2, 5, *LARGE)).astype(np.float32)
    assert np.array_equal(LabelPlanes((2, *LARGE, 3), 5, 1)(logits), logits.argmax(1))


def test_the_caller_s_threads_are_opencvs_only_meanwhile():
    seen = []

    class Spied(LabelPlanes):
        def _resize(self, values, out):
            seen.append(cv2.getNumThreads())
            super()._resize(values, out)

    before = cv2.getNumThreads()
    Spied((1, *LARGE, 3), 3, before + 1)(np.zeros((1, 3, *SMALL), np.float32))
    assert set(seen) == {before + 1}
    assert cv2.getNumThreads() == before


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


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_backend_keeps_the_first_of_equal_classes(name, precision, tmp_path):
    pytest.importorskip(name)
    frame = np.random.default_rng(0).integers(0, 4, (1, *SIZE_HW, 3), dtype=np.uint8) * 60
    ties = (frame == frame.max(axis=-1, keepdims=True)).sum(axis=-1) > 1
    assert ties.mean() > 0.3
    bundle = tiny_bundle(tmp_path / "b", precision=precision)
    with open_backend(name, bundle) as backend:
        assert np.array_equal(backend.infer(frame), expected_labels(frame))


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_a_bundle_of_other_classes_than_its_manifests_is_refused(name, tmp_path):
    pytest.importorskip(name)
    bundle = tiny_bundle(tmp_path / "b")
    spec = bundle.spec
    fewer = dataclasses.replace(spec, class_names=spec.class_names[:2], palette=spec.palette[:2])
    frame = np.zeros((1, *SIZE_HW, 3), np.uint8)
    other: Bundle = write_bundle(
        tmp_path / "other",
        graph().SerializeToString(),
        Golden(frame, expected_labels(frame)),
        name="other",
        spec=fewer,
        precision="fp32",
        opset=18,
    )
    with open_backend(name, other) as backend, pytest.raises(BackendError, match="gives 3 classes"):
        backend.infer(frame)
