"""What every backend must do: one suite over the registry."""

import gc
import threading

import jaxtyping
import numpy as np
import onnx
import pytest
from tinybundle import SIZE_HW, expected_labels, graph, random_frame, tiny_bundle, vouched

from edgeseg.core.bundle import Golden, write_bundle
from edgeseg.errors import BackendError, BundleError
from edgeseg.runtime.backends import BACKENDS, Backend, open_backend, why_unavailable


@pytest.fixture(params=BACKENDS)
def name(request):
    reason = why_unavailable(request.param)
    if reason:
        pytest.skip(reason)
    return request.param


@pytest.fixture
def unchecked():
    """Switch the shape annotations off: a user runs without them and must still get an answer."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_labels_are_right_and_fit_the_io(tmp_path, name, precision):
    bundle = tiny_bundle(tmp_path / "b", precision=precision)
    with open_backend(name, bundle, threads=1) as backend:
        assert isinstance(backend, Backend)
        assert backend.io.frame_shape == (1, *SIZE_HW, 3)
        assert backend.io.runtime.split()[0] == name
        assert backend.io.threads == (None if BACKENDS.load(name).needs_gpu else 1)
        for seed in range(3):
            frame = random_frame(seed)[None]
            assert np.array_equal(backend.infer(frame), expected_labels(frame))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_the_precision_that_runs_is_named(tmp_path, name, precision):
    with open_backend(name, tiny_bundle(tmp_path / "b", precision=precision)) as backend:
        ran = backend.io.precision.split("+")
        assert ("int8" in ran) == (precision == "int8")
        assert set(ran) <= (
            {"int8", "f16", "f32"} if BACKENDS.load(name).needs_gpu else {"int8", "f32"}
        )


def test_a_frame_may_be_reused_and_a_copied_result_stays(tmp_path, name):
    with open_backend(name, tiny_bundle(tmp_path / "b")) as backend:
        frame = random_frame(1)[None].copy()
        wanted = expected_labels(frame)
        labels = backend.infer(frame).copy()
        frame[:] = random_frame(2)[None]
        backend.infer(frame)
        assert np.array_equal(labels, wanted)


def test_a_slice_of_a_larger_frame_is_taken(tmp_path, name):
    h, w = SIZE_HW
    large = random_frame(5, (2 * h, 2 * w))
    view = large[None, ::2, ::2]
    assert not view.flags.c_contiguous
    with open_backend(name, tiny_bundle(tmp_path / "b")) as backend:
        assert np.array_equal(backend.infer(view), expected_labels(view))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, *SIZE_HW, 3), np.float32),
        ((1, SIZE_HW[1], SIZE_HW[0], 3), np.uint8),
        ((2, *SIZE_HW, 3), np.uint8),
        ((1, 3, *SIZE_HW), np.uint8),
        (SIZE_HW, np.uint8),
    ],
)
def test_a_wrong_frame_is_refused_with_both_shapes(tmp_path, name, unchecked, shape, dtype):
    with open_backend(name, tiny_bundle(tmp_path / "b")) as backend:
        with pytest.raises(BackendError, match="expected uint8 1x48x64x3") as caught:
            backend.infer(np.zeros(shape, dtype))
        assert "x".join(map(str, shape)) in str(caught.value)
        assert np.dtype(dtype).name in str(caught.value)


def test_closing_twice_is_fine_and_a_closed_backend_says_so(tmp_path, name):
    backend = open_backend(name, tiny_bundle(tmp_path / "b"))
    backend.close()
    backend.close()
    with pytest.raises(BackendError, match="closed"):
        backend.infer(random_frame()[None])


def test_leaving_the_block_by_an_error_closes_and_keeps_no_thread(tmp_path, name):
    threads = threading.active_count()
    backend = open_backend(name, tiny_bundle(tmp_path / "b"))
    with pytest.raises(RuntimeError, match="body"), backend:
        raise RuntimeError("body")
    with pytest.raises(BackendError, match="closed"):
        backend.infer(random_frame()[None])
    gc.collect()
    assert threading.active_count() == threads


@pytest.mark.parametrize("damage", ["truncated", "empty", "text"])
def test_a_file_that_is_no_graph_is_one_line_with_its_path(tmp_path, name, damage):
    bundle = tiny_bundle(tmp_path / "b", precision="int8")
    data = bundle.onnx_path.read_bytes()
    broken = {"truncated": data[: len(data) // 2], "empty": b"", "text": b"not a graph\n" * 9}
    bundle = vouched(bundle.path, model=broken[damage])
    with pytest.raises(BundleError, match=r"model\.onnx") as caught:
        open_backend(name, bundle)
    assert "\n" not in str(caught.value)


def other_bundle(path, model: onnx.ModelProto):
    tiny = tiny_bundle(path)
    frame = random_frame()[None]
    return write_bundle(
        path,
        model.SerializeToString(),
        Golden(frame, expected_labels(frame)),
        name="other",
        spec=tiny.spec,
        precision="fp32",
        opset=18,
    )


def test_a_graph_without_uint8_labels_is_refused(tmp_path, name):
    model = graph()
    model.graph.node.pop()
    model.graph.output[0].name = "index"
    model.graph.output[0].type.tensor_type.elem_type = onnx.TensorProto.INT64
    with pytest.raises(BackendError, match="expected uint8 'frame' and uint8 'labels'"):
        open_backend(name, other_bundle(tmp_path / "b", model))


def test_a_graph_of_another_size_than_the_manifest_is_refused(tmp_path, name):
    with pytest.raises(BackendError, match=r"takes frames \[1, 96, 64, 3\], its manifest says"):
        open_backend(name, other_bundle(tmp_path / "b", graph((96, 64))))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_scores_per_class_lead_to_the_labels(tmp_path, name, precision):
    frame = random_frame(3)[None]
    with open_backend(name, tiny_bundle(tmp_path / "b", precision=precision)) as backend:
        if BACKENDS.load(name).needs_gpu:
            with pytest.raises(BackendError, match=r"labels alone.*--backend onnxruntime"):
                backend.logits(frame)
            return
        logits = backend.logits(frame).copy()
        assert logits.shape == (1, 3, *SIZE_HW)
        assert logits.dtype == np.float32
        assert np.array_equal(logits.argmax(1), backend.infer(frame))
        # The tiny network gives its input's channels doubled, in units of 0-1.
        np.testing.assert_allclose(logits, frame.transpose(0, 3, 1, 2) * (2 / 255), atol=0.02)
        with pytest.raises(BackendError, match="expected uint8"):
            backend.logits(np.ascontiguousarray(frame[:, 1:]))
    with pytest.raises(BackendError, match="closed"):
        backend.logits(frame)
