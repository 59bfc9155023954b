"""Graphs that take several frames at once."""

import dataclasses
import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from stand_ins import ArgmaxBackend
from tinybundle import SIZE_HW, expected_labels, random_frame, tiny_bundle
from trt_lines import run

from edgeseg.core.bundle import read_bundle
from edgeseg.core.data.masks import read_labels
from edgeseg.core.images.io import write_png
from edgeseg.core.zoo import find_bundle
from edgeseg.errors import BackendError
from edgeseg.runtime.backends import open_backend
from edgeseg.runtime.backends.batched import batched_bundle, check_rows, set_batch

SHIPPED = "deeplabv3plus-mobilenetv2-camvid"


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_each_row_is_its_own_frame(tmp_path, runtime, precision):
    pytest.importorskip(runtime, reason=f"{runtime} is not installed")
    bundle = tiny_bundle(tmp_path / "one", precision=precision)
    three = batched_bundle(bundle, 3, tmp_path / "three")
    frames = np.stack([random_frame(seed) for seed in range(3)])
    with open_backend(runtime, three, threads=1) as backend:
        assert backend.io.frame_shape == (3, *SIZE_HW, 3)
        assert np.array_equal(backend.infer(frames), expected_labels(frames))
        check_rows(backend, bundle, 3)
    assert read_bundle(bundle.path).digest == bundle.digest != three.digest


def test_the_shipped_model_gives_the_labels_it_gives_alone(tmp_path):
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    bundle = find_bundle(SHIPPED)
    golden = bundle.golden()
    two = batched_bundle(bundle, 2, tmp_path / "two")
    assert (two.islands_digest is None) == (bundle.islands_digest is None)
    frames = np.concatenate([golden.frame, golden.frame[:, :, ::-1]])
    with open_backend("onnxruntime", bundle, threads=1) as alone:
        wanted = np.concatenate([alone.infer(frame[None]).copy() for frame in frames])
    with open_backend("onnxruntime", two, threads=1) as together:
        assert (together.infer(frames) == wanted).mean() > 0.999


def test_two_cameras_share_calls_of_a_tensorrt_engine(tmp_path):
    """The whole verb on TensorRT's own bindings over the doubles: the engine is built for two."""
    bundle = tiny_bundle(tmp_path / "b", precision="int8")
    for seed in range(6):
        write_png(tmp_path / str(seed % 2) / f"{seed}.png", random_frame(seed))
    done = run(
        "10.3.0", "-m", "edgeseg.cli", "stream", bundle.path, tmp_path / "0", "--also",
        tmp_path / "1", f"{tmp_path}/masks-{{n}}/", "--batch", "2", "--backend", "tensorrt",
        "--json",
        EDGESEG_CACHE=str(tmp_path / "cache"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for seed in range(6):
        labels = read_labels(tmp_path / f"masks-{seed % 2}" / f"{seed}.png")
        assert np.array_equal(labels, expected_labels(random_frame(seed)))
    reports = json.loads(done.stdout)["reports"]
    assert [report["run"]["batch"] for report in reports] == [2, 2]
    assert reports[0]["bundle"]["sha256"] == bundle.digest
    assert reports[0]["memory"]["engine_device_bytes"] == 4096


def test_a_graph_of_another_batch_and_one_that_cannot_change_are_refused(tmp_path):
    model = onnx.load(tiny_bundle(tmp_path / "b").onnx_path)
    set_batch(model, 2)
    with pytest.raises(BackendError, match="has a batch of 2, expected 1"):
        set_batch(model, 3)
    model = onnx.load(tmp_path / "b" / "model.onnx")
    # Something of batch 1 that is no size of an operator.
    one = numpy_helper.from_array(np.zeros((1, 1, *SIZE_HW), np.uint8), "one")
    model.graph.initializer.append(one)
    model.graph.node[-1].output[0] = "before"
    model.graph.node.extend([
        helper.make_node("Unsqueeze", ["before", "axes"], ["wide"]),
        helper.make_node("Concat", ["wide", "one"], ["both"], axis=1),
        helper.make_node("ReduceMax", ["both", "axes"], ["labels"], keepdims=0),
    ])  # fmt: skip
    model.graph.initializer.append(helper.make_tensor("axes", TensorProto.INT64, [1], [1]))
    with pytest.raises(BackendError, match="does not work with a batch of 2"):
        set_batch(model, 2)


def test_a_row_that_was_not_computed_and_a_backend_without_batches_are_found(tmp_path):
    bundle = tiny_bundle(tmp_path / "b")
    with open_backend("onnxruntime", bundle, threads=1) as backend:
        with pytest.raises(BackendError, match="takes 1 frame at a time"):
            check_rows(backend, bundle, 2)

        class FirstRowOnly(ArgmaxBackend):
            io = dataclasses.replace(backend.io, frame_shape=(2, *SIZE_HW, 3))

            def __init__(self) -> None:
                pass

            def infer(self, frames):
                labels = expected_labels(frames)
                labels[1] = 0
                return labels

        with pytest.raises(BackendError, match="frame 1 gets 0"):
            check_rows(FirstRowOnly(), bundle, 2)
