"""A bundle in the forms of other runtimes: equal labels, and files that fit the graph."""

import configparser
import dataclasses
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from trained_nets import spec_of, trained

from edgeseg.cli import run
from edgeseg.core.bundle import Bundle, write_bundle
from edgeseg.core.graph.runtime_forms import feed, in_form, labels_of
from edgeseg.core.graph.unpool_plugin import plugin_form
from edgeseg.core.recipe import StepDone
from edgeseg.core.zoo import find_bundle
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.export.export import bundle_from_checkpoint
from edgeseg.host.export.for_runtimes import write_for_runtime
from edgeseg.host.export.runtimes import RUNTIMES

IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
NORMALIZED = {
    "imagenet": IMAGENET,
    "other": {"mean": (0.42, 0.43, 0.44), "std": (0.28, 0.2, 0.3)},
    "per image": {"normalize": "per_image"},
}


@pytest.fixture(scope="module", params=NORMALIZED)
def bundle(request, tmp_path_factory) -> Bundle:
    """A SegNet-Basic of 8 channels, by each way in which frames are normalized."""
    spec = spec_of("segnet-basic", (64, 96))
    fields = NORMALIZED[request.param]
    spec = dataclasses.replace(spec, preprocess=dataclasses.replace(spec.preprocess, **fields))
    checkpoint = Checkpoint(spec, (StepDone("train"),), trained(spec).state_dict())
    place = tmp_path_factory.mktemp("bundle") / "net"
    return bundle_from_checkpoint(checkpoint, "fp32", place)


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )


@pytest.mark.parametrize("name", RUNTIMES)
def test_labels_are_the_bundles_on_frames_it_has_not_seen(name, bundle):
    source, form = onnx.load(bundle.onnx_path), RUNTIMES[name].form
    ours, theirs = session(source), session(in_form(source, form))
    rng = np.random.default_rng(0)
    shape = (1, *bundle.spec.size_hw, 3)
    for low, high in ((0, 256), (100, 120)):
        frame = rng.integers(low, high, shape, dtype=np.uint8)
        (labels,) = ours.run(["labels"], {"frame": frame})
        (result,) = theirs.run([form.output_name], {form.input_name: feed(form, frame)})
        same = (labels_of(form, result) == labels).mean()
        # The runtime's own normalization, undone, rounds otherwise.
        assert same >= (0.999 if form.pixels == "imagenet" else 1.0)


@pytest.mark.parametrize("name", RUNTIMES)
def test_the_ends_are_those_of_the_form(name, bundle):
    form = RUNTIMES[name].form
    height, width = bundle.spec.size_hw
    model = in_form(onnx.load(bundle.onnx_path), form)
    (given,), (taken,) = model.graph.input, model.graph.output
    assert (given.name, taken.name) == (form.input_name, form.output_name)
    kinds = {"labels": 2, "int32": 6, "int32 nhw1": 6, "logits": 1, "softmax": 1}
    assert taken.type.tensor_type.elem_type == kinds[form.result]
    classes = len(bundle.spec.class_names)
    shapes = {"int32 nhw1": [1, height, width, 1], "logits": [1, classes, height, width]}
    shapes["softmax"] = shapes["logits"]
    found = [each.dim_value for each in taken.type.tensor_type.shape.dim]
    assert found == shapes.get(form.result, [1, height, width])
    planes = [1, 3, height, width] if form.pixels != "frame" else [1, height, width, 3]
    assert [each.dim_value for each in given.type.tensor_type.shape.dim] == planes


def test_what_the_runtime_normalizes_is_not_done_twice():
    bundle = find_bundle("deeplabv3plus-mobilenetv2-camvid-slim")
    form = RUNTIMES["jetson-inference"].form
    source = onnx.load(bundle.onnx_path)
    operators = [node.op_type for node in in_form(source, form).graph.node]
    assert not {"Sub", "Div", "Transpose"} & set(operators)
    # The convolutions between are untouched, with their INT8.
    for operator in ("Conv", "QuantizeLinear", "DequantizeLinear"):
        assert operators.count(operator) == [n.op_type for n in source.graph.node].count(operator)


def written(bundle: Bundle, name: str, tmp_path: Path) -> Path:
    folder = tmp_path / f"net-{name}"
    assert write_for_runtime(bundle, name, folder) >= 0.999
    assert len((folder / "labels.txt").read_text().splitlines()) == len(bundle.spec.class_names)
    return folder


def test_deepstreams_file_fits_the_graph_and_its_rule_gives_the_labels(bundle, tmp_path):
    folder = written(bundle, "deepstream", tmp_path)
    config = configparser.ConfigParser()
    config.read(folder / "config_infer.txt")
    held = config["property"]
    height, width = bundle.spec.size_hw
    assert held["infer-dims"] == f"3;{height};{width}"
    assert int(held["num-detected-classes"]) == len(bundle.spec.class_names)
    assert (held["network-type"], held["network-mode"], held["model-color-format"]) == tuple("200")
    model = onnx.load(folder / held["onnx-file"])
    assert held["output-blob-names"] == model.graph.output[0].name
    golden = bundle.golden()
    scale = float(held["net-scale-factor"])
    planes = scale * golden.frame.transpose(0, 3, 1, 2).astype(np.float32)
    (scores,) = session(model).run(None, {model.graph.input[0].name: planes})
    # nvinfer: the first class whose score is the largest so far and above the threshold, else -1.
    best = np.full(scores.shape[2:], -1.0)
    labels = np.full(scores.shape[2:], -1)
    for number, plane in enumerate(scores[0]):
        better = (plane > best) & (plane > float(held["segmentation-threshold"]))
        best, labels = np.where(better, plane, best), np.where(better, number, labels)
    (ours,) = session(onnx.load(bundle.onnx_path)).run(["labels"], {"frame": golden.frame})
    assert (labels == ours[0]).mean() >= 0.999


def test_tritons_file_fits_the_graph(bundle, tmp_path):
    folder = written(bundle, "triton", tmp_path)
    text = (folder / "config.pbtxt").read_text()
    model = onnx.load(folder / "1" / "model.onnx")
    for value in (*model.graph.input, *model.graph.output):
        dims = ", ".join(str(each.dim_value) for each in value.type.tensor_type.shape.dim)
        block = rf'name: "{value.name}"\s+data_type: TYPE_UINT8\s+dims: \[ {dims} \]'
        assert re.search(block, text)
    # NVIDIA's own description of the file, where its client is installed.
    config = pytest.importorskip("tritonclient.grpc.model_config_pb2", exc_type=ImportError)
    from google.protobuf import text_format

    held = text_format.Parse(text, config.ModelConfig())
    assert [list(each.dims) for each in held.input] == [[1, *bundle.spec.size_hw, 3]]


@pytest.mark.parametrize(
    ("name", "script", "words"),
    [
        ("isaac-ros", "launch.sh", {"network_output_type": "argmax", "mask_width": "96"}),
        ("jetson-inference", "segnet.sh", {"--input_blob": "input_0", "--output_blob": "output_0"}),
        ("tensorrt-float", "build.sh", {}),
    ],
)
def test_a_scripts_words_fit_the_graph(bundle, tmp_path, name, script, words):
    folder = written(bundle, name, tmp_path)
    text = (folder / script).read_text()
    assert subprocess.run(["sh", "-n", folder / script], check=False).returncode == 0
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line.startswith("exec ")]
    pairs = dict(
        re.split(r":?=", word, maxsplit=1) for word in shlex.split(lines[0]) if "=" in word
    )
    assert pairs.items() >= words.items()
    model = onnx.load(folder / "model.onnx")
    if name == "isaac-ros":
        assert pairs["input_binding_names"] == f"['{model.graph.input[0].name}']"
        assert pairs["output_binding_names"] == f"['{model.graph.output[0].name}']"
        assert pairs["network_image_height"] == str(bundle.spec.size_hw[0])
        colours = re.findall(r"0x[0-9A-F]{6}", (folder / "unet_decoder.yaml").read_text())
        assert len(colours) == len(bundle.spec.class_names)
    if name == "jetson-inference":
        colours = (folder / "colors.txt").read_text().splitlines()
        assert len(colours) == len(bundle.spec.class_names)


def test_a_folder_of_something_else_is_left_alone(bundle, tmp_path):
    folder = tmp_path / "net-triton"
    folder.mkdir()
    (folder / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="is not an export for triton"):
        write_for_runtime(bundle, "triton", folder)
    assert [place.name for place in folder.iterdir()] == ["mine.txt"]


def test_a_graph_of_another_kind_is_refused(colour_bundle):
    source = onnx.load(colour_bundle.onnx_path)
    with pytest.raises(ExportError, match="frame is read by Transpose, expected one Cast"):
        in_form(source, RUNTIMES["deepstream"].form)


def test_a_plugins_operators_are_refused(bundle, tmp_path):
    made = write_bundle(
        tmp_path / "net", plugin_form(bundle.onnx_path.read_bytes()), bundle.golden(), name="net",
        spec=bundle.spec, precision="fp32", opset=bundle.opset,
    )  # fmt: skip
    with pytest.raises(UsageError, match="operators of edgeseg's plugin"):
        write_for_runtime(made, "deepstream", tmp_path / "net-deepstream")


def test_the_verb_writes_beside_the_bundle_also_from_a_bundle(
    small_checkpoint, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run(["export", str(small_checkpoint), "--fp32", "--for", "triton", "-o", "m"]) == 0
    assert (tmp_path / "m-triton" / "1" / "model.onnx").is_file()
    assert run(["export", "m", "--for", "tensorrt-float", "--for", "triton", "-o", "m"]) == 0
    assert "trtexec" in (tmp_path / "m-tensorrt-float" / "build.sh").read_text()
    capsys.readouterr()
    assert run(["export", "m", "--for", "triton", "--int8"]) == 2
    assert "m is fp32 already" in capsys.readouterr().err
    assert run(["export", "m", "--for", "triton", "--images", "3"]) == 2
    assert run(["export", "m", "--for", "nothing"]) == 2
