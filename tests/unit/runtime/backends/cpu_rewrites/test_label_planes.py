import dataclasses

import cv2
import numpy as np
import onnx
import onnxruntime as ort
import pytest
from endings import LARGE, SMALL, ending
from tinybundle import SIZE_HW, expected_labels, graph, tiny_bundle

from edgeseg.core.bundle import Bundle, Golden, write_bundle
from edgeseg.core.graph.logits_end import end_at_logits
from edgeseg.errors import BackendError
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.cpu_rewrites.label_planes import LabelPlanes


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
    with (
        open_backend(name, other) as backend,
        pytest.raises(BackendError, match=r"expected floats \(1, 2"),
    ):
        backend.infer(frame)
