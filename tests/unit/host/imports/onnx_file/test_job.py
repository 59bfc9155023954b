"""The import of an ONNX file: every kind of input and output gives the file's own labels."""

import functools
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from foreign_onnx import CLASSES, SIZE, classes_txt, network
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.bundle import Bundle
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.imports.job_options import ImportOptions
from edgeseg.host.imports.onnx_file.job import import_onnx
from edgeseg.lint.check import lines_of, lint
from edgeseg.runtime.backends.open import open_backend

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
IMAGENET = {"mean": "0.485,0.456,0.406", "std": "0.229 0.224 0.225"}


def softmax(draft, scores):
    return [draft.add("Softmax", [scores], "shares", axis=1)]


def softmax_by_transposes(draft, scores):
    # As torch writes it up to opset 12.
    there = draft.add("Transpose", [scores], "there", perm=[0, 3, 2, 1])
    shares = draft.add("Softmax", [there], "shares", axis=3)
    return [draft.add("Transpose", [shares], "back", perm=[0, 3, 2, 1])]


def labels(draft, scores):
    return [draft.add("ArgMax", [scores], "labels", axis=1, keepdims=0)]


def labels_as_bytes(draft, scores):
    best = draft.add("ArgMax", [scores], "best", axis=1, keepdims=1)
    return [draft.add("Cast", [best], "frame", to=TensorProto.UINT8)]


def pixels(draft, scores):
    return [draft.add("Transpose", [scores], "pixels", perm=[0, 2, 3, 1])]


def pixel_shares(draft, scores):
    return [draft.add("Softmax", pixels(draft, scores), "shares", axis=-1)]


def auxiliary(draft, scores):
    aux = draft.conv("stem_relu", "aux", 8, len(CLASSES), 1)
    return [draft.add("Identity", [scores], "out"), aux]


# What a file may look like: how it is written, and how its own output is read as labels.
KINDS = {
    "scores": ({}, lambda out: out.argmax(1)),
    "half the size": ({"upsample": False}, lambda out: out.argmax(1)),
    "any size": ({"size": ("h", "w"), "batch": "n"}, lambda out: out.argmax(1)),
    "opset 11": ({"opset": 11}, lambda out: out.argmax(1)),
    "opset 11, half the size": ({"opset": 11, "upsample": False}, lambda out: out.argmax(1)),
    "opset 18": ({"opset": 18}, lambda out: out.argmax(1)),
    "softmax": ({"end": softmax}, lambda out: out.argmax(1)),
    "softmax of old": ({"end": softmax_by_transposes, "opset": 12}, lambda out: out.argmax(1)),
    "labels": ({"end": labels}, lambda out: out),
    "labels as bytes, named as ours": ({"end": labels_as_bytes}, lambda out: out[:, 0]),
    "labels at half the size": ({"end": labels, "upsample": False}, lambda out: out),
    "pixels in and out": ({"end": pixels, "channels_last": True}, lambda out: out.argmax(3)),
    "shares of pixels": (
        {"end": pixel_shares, "channels_last": True, "size": ("h", "w")},
        lambda out: out.argmax(3),
    ),
    "an auxiliary output": ({"end": auxiliary}, lambda out: out.argmax(1)),
}


def run_file(path: Path, feed: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: feed})[0]


@functools.cache
def frames() -> list[np.ndarray]:
    drive = SyntheticDrive(SIZE, seed=5, n=2)
    return [drive.frame(i)[0][None] for i in range(2)]


def bundle_labels(bundle: Bundle, frame: np.ndarray) -> np.ndarray:
    with open_backend("onnxruntime", bundle) as backend:
        return backend.infer(np.ascontiguousarray(frame))


def options(folder: Path, path: Path, **more) -> ImportOptions:
    classes = more.pop("classes", None) or classes_txt(folder)
    return ImportOptions.of(source=str(path), classes=classes, out=folder / "bundle", **more)


@pytest.mark.parametrize("kind", KINDS)
def test_a_bundle_gives_the_labels_of_its_file(kind, tmp_path):
    about, read = KINDS[kind]
    path = tmp_path / "net.onnx"
    network(path, **about)
    bundle = import_onnx(options(tmp_path, path, size=SIZE, **IMAGENET))
    for frame in frames():
        feed = ((frame / 255 - MEAN) / STD).astype(np.float32)
        if not about.get("channels_last"):
            feed = np.ascontiguousarray(feed.transpose(0, 3, 1, 2))
        theirs = read(run_file(path, feed))
        ours = bundle_labels(bundle, frame)
        if theirs.shape[1:] == SIZE:
            assert (ours == theirs).all()
        else:
            # Scores are resized, so that only a class's border may lie elsewhere.
            assert (ours[:, ::2, ::2] == theirs).mean() > 0.8
        assert len(np.unique(theirs)) > 1
    assert (bundle.precision, bundle.spec.class_names) == ("fp32", CLASSES)
    assert bundle.name == "bundle"
    ops = [node.op_type for node in onnx.load(bundle.onnx_path).graph.node]
    assert "BatchNormalization" not in ops
    assert "Softmax" not in ops
    assert ops.count("Transpose") == 1 or about.get("channels_last")
    findings = lint(onnx.load(bundle.onnx_path), lines=lines_of(())).findings
    assert not [found for found in findings if found.severity == "error"]


def test_half_sized_scores_are_resized_as_edgesegs_own_are(tmp_path):
    path = tmp_path / "net.onnx"
    network(path, upsample=False)
    bundle = import_onnx(options(tmp_path, path, unit=True))
    (frame, _) = frames()
    small = run_file(path, (frame / 255).astype(np.float32).transpose(0, 3, 1, 2).copy())
    # OpenCV's bilinear resize has half-pixel centres too.
    large = [cv2.resize(plane, SIZE[::-1], interpolation=cv2.INTER_LINEAR) for plane in small[0]]
    assert (bundle_labels(bundle, frame) == np.argmax(large, 0)).mean() > 0.999


def test_batch_norms_fold_without_a_trace(tmp_path):
    path = tmp_path / "net.onnx"
    network(path)
    bundle = import_onnx(options(tmp_path, path, raw=True))
    made = onnx.load(bundle.onnx_path)
    made.graph.output.append(helper.make_empty_tensor_value_info("scores"))
    (frame, _) = frames()
    ours = run_unoptimized(made, frame)[1]
    theirs = run_file(path, frame.astype(np.float32).transpose(0, 3, 1, 2).copy())
    assert np.abs(ours - theirs).max() < 1e-4 * np.abs(theirs).max()


def test_bytes_are_handed_over_without_a_cast_back(tmp_path):
    path = tmp_path / "net.onnx"
    network(path, element=TensorProto.UINT8)
    with pytest.raises(UsageError, match="takes bytes; give --raw"):
        import_onnx(options(tmp_path, path, unit=True))
    bundle = import_onnx(options(tmp_path, path, raw=True))
    (frame, _) = frames()
    theirs = run_file(path, frame.transpose(0, 3, 1, 2).copy()).argmax(1)
    assert (bundle_labels(bundle, frame) == theirs).all()
    casts = [n for n in onnx.load(bundle.onnx_path).graph.node if n.op_type == "Cast"]
    assert [next(a.i for a in n.attribute) for n in casts] == [1, 1, 2]


def test_a_half_precision_file_becomes_float32(tmp_path):
    def halve(model):
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            if array.dtype == np.float32 and tensor.name not in ("scales", "none"):
                name = tensor.name
                tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), name))
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.elem_type = TensorProto.FLOAT16

    path = tmp_path / "net.onnx"
    network(path, change=halve)
    bundle = import_onnx(options(tmp_path, path, unit=True))
    (frame, _) = frames()
    theirs = run_file(path, (frame / 255).astype(np.float16).transpose(0, 3, 1, 2).copy())
    assert (bundle_labels(bundle, frame) == theirs.argmax(1)).mean() > 0.98
    constants = onnx.load(bundle.onnx_path).graph.initializer
    assert TensorProto.FLOAT16 not in {tensor.data_type for tensor in constants}


@pytest.mark.parametrize("ends", ["scores", "sigmoid", "resized sigmoid", "threshold"])
def test_one_score_decides_between_two_classes(ends, tmp_path):
    def end(draft, scores):
        if ends == "scores":
            return [scores]
        if ends == "threshold":
            limit = draft.constant("limit", np.array([0.25], np.float32))
            above = draft.add("Greater", [scores, limit], "above")
            return [draft.add("Cast", [above], "mask", to=TensorProto.UINT8)]
        share = draft.add("Sigmoid", [scores], "share")
        if ends == "sigmoid":
            return [share]
        draft.constant("twice", np.array([1, 1, 2, 2], np.float32))
        return [draft.add("Resize", [share, "", "twice"], "large", mode="linear")]

    path = tmp_path / "net.onnx"
    network(path, end, classes=1, upsample=ends != "resized sigmoid")
    names = classes_txt(tmp_path, ("back", "front"))
    bundle = import_onnx(options(tmp_path, path, unit=True, classes=names))
    (frame, _) = frames()
    out = run_file(path, (frame / 255).astype(np.float32).transpose(0, 3, 1, 2).copy())[:, 0]
    wanted = {"scores": out > 0, "threshold": out > 0}.get(ends, out > 0.5)
    assert 0.02 < wanted.mean() < 0.98
    assert (bundle_labels(bundle, frame) == wanted).all()


def test_labels_that_no_argmax_gave_are_taken_as_they_are(tmp_path):
    def end(draft, scores):
        draft.constant("one", np.array([1], np.int64))
        draft.add("ArgMax", [scores], "best", axis=1, keepdims=0)
        return [draft.add("Mul", ["best", "one"], "labels")]

    path = tmp_path / "net.onnx"
    network(path, end, upsample=False, opset=11)
    # As it stands: the product with 1 would be simplified away.
    model = onnx.load(path)
    model.graph.initializer[-1].CopyFrom(numpy_helper.from_array(np.array([2], np.int64), "one"))
    onnx.save(model, path)
    names = classes_txt(tmp_path, ("a", "b", "c", "d", "e"))
    bundle = import_onnx(options(tmp_path, path, unit=True, classes=names))
    (frame, _) = frames()
    theirs = run_file(path, (frame / 255).astype(np.float32).transpose(0, 3, 1, 2).copy())
    large = theirs.repeat(2, axis=1).repeat(2, axis=2)
    assert (bundle_labels(bundle, frame) == large).all()


def test_means_above_one_are_of_bytes(tmp_path):
    path = tmp_path / "net.onnx"
    network(path)
    given = options(tmp_path, path, mean="123.675,116.28,103.53", std="58.395,57.12,57.375")
    rule = given.preprocess()
    assert rule.mean == pytest.approx(MEAN)
    assert rule.std == pytest.approx(STD)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, "say how pixels become the network's input"),
        ({"unit": True, "raw": True}, "say how pixels become"),
        ({"mean": "0.5"}, "--mean with --std"),
        ({"mean": "a,b,c", "std": "1"}, "--mean is 'a,b,c', expected three numbers"),
        ({"mean": "0.5", "std": "0"}, "needs values above 0"),
        ({"unit": True, "size": (64, 96)}, "is fixed at 32x48; give --size 32x48"),
        ({"unit": True, "weights": "w.pth"}, "--weights would change nothing"),
        ({"unit": True, "output": "logits"}, "has no output 'logits'; it has scores"),
    ],
)
def test_options_that_do_not_fit_are_named(more, reason, tmp_path):
    path = tmp_path / "net.onnx"
    network(path)
    with pytest.raises(UsageError, match=reason):
        import_onnx(options(tmp_path, path, **more))
    assert not (tmp_path / "bundle").exists()


def test_a_file_of_any_size_needs_one(tmp_path):
    path = tmp_path / "net.onnx"
    network(path, size=("h", "w"))
    with pytest.raises(UsageError, match="takes pictures of any size; give --size HxW"):
        import_onnx(options(tmp_path, path, unit=True))


def test_an_output_is_chosen_by_name(tmp_path):
    path = tmp_path / "net.onnx"
    network(path, auxiliary, upsample=False)
    bundle = import_onnx(options(tmp_path, path, unit=True, output="aux"))
    ops = [node.op_type for node in onnx.load(bundle.onnx_path).graph.node]
    # The stem and the auxiliary head alone.
    assert ops.count("Conv") == 2


def classifier(draft, scores):
    draft.add("GlobalAveragePool", [scores], "pooled")
    return [draft.add("Flatten", ["pooled"], "classes", axis=1)]


def detector(draft, scores):
    shape = draft.constant("shape", np.array([1, len(CLASSES), -1], np.int64))
    boxes = draft.add("Reshape", [scores, shape], "flat")
    return [draft.add("Transpose", [boxes], "boxes", perm=[0, 2, 1])]


def video(draft, scores):
    axes = draft.constant("axes", np.array([2], np.int64))
    return [draft.add("Unsqueeze", [scores, axes], "clip")]


@pytest.mark.parametrize(
    ("about", "reason"),
    [
        ({"end": detector}, "gives boxes 1x1536x3, expected scores .* a detector or a classifier"),
        ({"end": classifier}, "gives classes 1x3, expected scores"),
        ({"end": video}, "gives clip 1x3x1x32x48, expected scores"),
        ({"classes": 5}, "its output scores gives 5 classes, --classes names 3"),
        ({"batch": 4}, "takes 4 pictures at once, expected 1"),
    ],
)
def test_what_is_no_segmentation_network_of_these_classes_is_named(about, reason, tmp_path):
    path = tmp_path / "net.onnx"
    network(path, **about)
    with pytest.raises(ExportError, match=reason):
        import_onnx(options(tmp_path, path, unit=True))
    assert not (tmp_path / "bundle").exists()


def test_a_tensor_that_no_machine_holds_is_refused_before_it_is_made(tmp_path):
    def end(draft, scores):
        wide = draft.constant("wide", np.array([1, 3, 2**20, 2**20], np.int64))
        large = draft.add("Expand", [draft.add("GlobalAveragePool", [scores], "p"), wide], "large")
        return [draft.add("ReduceMax", [large], "most", axes=[0], keepdims=1)]

    path = tmp_path / "net.onnx"
    network(path, end)
    with pytest.raises(ExportError, match="'large' has 1x3x1048576x1048576 values, 12288 GiB"):
        import_onnx(options(tmp_path, path, unit=True))
