"""The exported graph against torch, and the audit of its Q/DQ nodes."""

import copy
import json
from collections import defaultdict
from collections.abc import Iterator
from functools import cache

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from onnx_in_torch import run_in_torch
from torch import nn
from trained_nets import calibrated, dyadic, frames, spec_of, trained

from edgeseg.core.spec import ModelSpec
from edgeseg.host.export.export import deployed, export_onnx
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.fx.fold_batch_norm import fold_batch_norms
from edgeseg.host.fx.tracing import trace
from edgeseg.host.models.label_net import LabelNet
from edgeseg.runtime.backends.cpu_rewrites.uint8_activations import rewrite_activations

pytestmark = pytest.mark.timeout(120)
SIZE = (64, 96)
ODD = (75, 101)


@cache
def net_of(arch: str, size_hw: tuple[int, int]) -> tuple[ModelSpec, nn.Module, nn.Module]:
    spec = spec_of(arch, size_hw)
    # The nets are fully convolutional: a frame of full size would only train more slowly.
    net = trained(spec_of(arch, min(size_hw, ODD)))
    return spec, net, calibrated(spec, net)


@cache
def exported(arch: str, size_hw: tuple[int, int], precision: str) -> onnx.ModelProto:
    spec, net, quantized = net_of(arch, size_hw)
    module = quantized if precision == "int8" else net
    return onnx.load_from_string(export_onnx(spec, module, precision))


def torch_labels(arch: str, size_hw: tuple[int, int], precision: str) -> np.ndarray:
    spec, net, quantized = net_of(arch, size_hw)
    rgb, _ = frames(size_hw, 1, seed=9)
    with torch.no_grad():
        return deployed(spec, quantized if precision == "int8" else net, precision)(rgb).numpy()


def constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


# Rounding alone moves a value of a fake-quantized net by a whole grid step now and then, and its
# labels with it; that the graph itself is right is what the exact tests below show.
LEAST = {"fp32": 1.0, "int8": 0.98, "fp16": 0.99}
DEEPLAB = "deeplabv3plus-mobilenetv2"
LIGHT = "segnet-mobilenetv2"


@pytest.mark.parametrize(
    ("arch", "size_hw", "precision"),
    [
        (DEEPLAB, SIZE, "fp32"),
        (DEEPLAB, SIZE, "int8"),
        pytest.param(DEEPLAB, SIZE, "fp16", marks=pytest.mark.slow),
        ("segnet-basic", SIZE, "fp32"),
        ("segnet-basic", SIZE, "int8"),
        ("segnet-basic", SIZE, "fp16"),
        pytest.param("segnet-basic", ODD, "fp32", marks=pytest.mark.slow),
        pytest.param("segnet-basic", ODD, "int8", marks=pytest.mark.slow),
        pytest.param("segnet", ODD, "fp32", marks=pytest.mark.slow),
        pytest.param("segnet", ODD, "int8", marks=pytest.mark.slow),
        pytest.param("segnet-mobilenetv2", ODD, "fp32", marks=pytest.mark.slow),
    ],
)
def test_labels_are_torchs(arch: str, size_hw: tuple[int, int], precision: str) -> None:
    expected = torch_labels(arch, size_hw, precision)
    rgb, _ = frames(size_hw, 1, seed=9)
    (labels,) = run_unoptimized(exported(arch, size_hw, precision), rgb.numpy())
    assert labels.dtype == np.uint8
    assert len(np.unique(labels)) >= 2
    assert (labels == expected).mean() >= LEAST[precision]


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("arch", ["segnet", "segnet-basic"])
def test_labels_at_full_size_are_torchs(arch: str) -> None:
    # Where two cells of a pooling window are equal to float rounding, the runtimes may un-pool to
    # different ones; nothing else differs, as the exact test below shows.
    expected = torch_labels(arch, (360, 480), "fp32")
    rgb, _ = frames((360, 480), 1, seed=9)
    (labels,) = run_unoptimized(exported(arch, (360, 480), "fp32"), rgb.numpy())
    assert (labels == expected).mean() >= 0.999


@pytest.mark.timeout(300)
@pytest.mark.parametrize("size_hw", [ODD, pytest.param((360, 480), marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "arch",
    ["segnet-basic", *(pytest.param(n, marks=pytest.mark.slow) for n in ("segnet", LIGHT))],
)
def test_where_arithmetic_is_exact_every_logit_is_torchs(
    arch: str, size_hw: tuple[int, int]
) -> None:
    spec = spec_of(arch, size_hw)
    net = dyadic(calibrated(spec, trained(spec_of(arch, min(size_hw, ODD)))))
    model = onnx.load_from_string(export_onnx(spec, net, "int8", raw_logits=True))
    rgb, _ = frames(size_hw, 1, seed=9)
    labels, logits = run_unoptimized(model, rgb.numpy())
    with torch.no_grad():
        expected_labels, expected = deployed(spec, net, "int8", raw_logits=True)(rgb)
    assert len(np.unique(labels)) >= 2
    # The light SegNet's logits are resized by four, whose fractions two runtimes round differently.
    resized = 1e-4 if arch == "segnet-mobilenetv2" else 0
    assert np.abs(logits - expected.numpy()).max() <= resized
    assert np.array_equal(labels, expected_labels.numpy())


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize(
    "arch",
    [
        "segnet-basic",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("segnet", "segnet-mobilenetv2")),
    ],
)
def test_no_index_operator_is_left(arch: str, precision: str) -> None:
    for node in exported(arch, ODD, precision).graph.node:
        assert node.op_type not in {"MaxUnpool", "ScatterND", "ScatterElements", "Pad", "TopK"}
        assert node.op_type != "MaxPool" or len(node.output) == 1


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_border_is_uint8_and_the_opset_fits_every_tensorrt(precision: str) -> None:
    model = exported("segnet-basic", SIZE, precision)
    assert [v.name for v in model.graph.input] == ["frame"]
    assert [v.name for v in model.graph.output] == ["labels"]
    for value, shape in (
        (model.graph.input[0], (1, *SIZE, 3)),
        (model.graph.output[0], (1, *SIZE)),
    ):
        assert value.type.tensor_type.elem_type == onnx.TensorProto.UINT8
        assert tuple(d.dim_value for d in value.type.tensor_type.shape.dim) == shape
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 18)]
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    assert "encoder.1.0/Conv" in names


def convolutions(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    return (n for n in model.graph.node if n.op_type in ("Conv", "ConvTranspose"))


def producer(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    return next((n for n in model.graph.node if name in n.output), None)


def grid_source(model: onnx.ModelProto, name: str) -> onnx.NodeProto | None:
    """The DequantizeLinear that feeds `name`; max pooling commutes with it."""
    node = producer(model, name)
    while node is not None and node.op_type == "MaxPool":
        node = producer(model, node.input[0])
    return node if node is not None and node.op_type == "DequantizeLinear" else None


SIZES = {DEEPLAB: SIZE, "segnet": ODD, "segnet-basic": SIZE}


@pytest.mark.parametrize("arch", sorted(SIZES))
def test_every_quantizer_is_symmetric_int8_with_zero_point_zero(arch: str) -> None:
    model = exported(arch, SIZES[arch], "int8")
    value = constants(model)
    checked = 0
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = value[node.input[1]], value[node.input[2]]
        assert zero.dtype == np.int8
        assert not zero.any()
        assert scale.dtype == np.float32
        assert (scale > 0).all()
        if node.op_type == "QuantizeLinear":
            assert scale.ndim == 0
            assert [n.op_type for n in model.graph.node if node.output[0] in n.input] == [
                "DequantizeLinear"
            ]
        checked += 1
    assert checked > 20


@pytest.mark.parametrize("arch", sorted(SIZES))
def test_every_body_convolution_reads_int8_on_both_inputs(arch: str) -> None:
    model = exported(arch, SIZES[arch], "int8")
    value = constants(model)
    for conv in convolutions(model):
        assert grid_source(model, conv.input[0]) is not None, conv.name
        weight = producer(model, conv.input[1])
        if conv.name.startswith("classifier/"):
            assert weight is None
            assert value[conv.input[1]].dtype == np.float32
            continue
        assert weight is not None
        assert weight.op_type == "DequantizeLinear"
        assert value[weight.input[0]].dtype == np.int8, conv.name
        assert value[weight.input[1]].shape == value[weight.input[0]].shape[:1]
        assert [a.i for a in weight.attribute if a.name == "axis"] == [0]


def test_residual_adds_read_a_quantized_skip_and_a_bare_convolution() -> None:
    model = exported(DEEPLAB, SIZE, "int8")
    adds = [n for n in model.graph.node if n.op_type == "Add" and "normalize" not in n.name]
    assert len(adds) == 10
    for add in adds:
        kinds = sorted(getattr(producer(model, name), "op_type", "") for name in add.input)
        assert kinds == ["Conv", "DequantizeLinear"]


def test_one_scale_runs_over_each_concatenation() -> None:
    model = exported(DEEPLAB, SIZE, "int8")
    readers = defaultdict(list)
    for node in model.graph.node:
        for name in node.input:
            readers[name].append(node)
    concats = [n for n in model.graph.node if n.op_type == "Concat"]
    assert len(concats) == 2
    for concat in concats:
        scales = {source.input[1] for name in concat.input if (source := grid_source(model, name))}
        assert all(grid_source(model, name) for name in concat.input)
        scales |= {reader.input[1] for reader in readers[concat.output[0]]}
        assert {reader.op_type for reader in readers[concat.output[0]]} == {"QuantizeLinear"}
        assert len(scales) == 1


def test_raw_logits_agree_with_the_labels() -> None:
    spec, _, quantized = net_of("segnet-basic", SIZE)
    model = onnx.load_from_string(export_onnx(spec, quantized, "int8", raw_logits=True))
    rgb, _ = frames(SIZE, 1, seed=9)
    labels, logits = run_unoptimized(model, rgb.numpy())
    assert logits.shape == (1, spec.n_classes, *SIZE)
    assert np.array_equal(logits.argmax(1), labels)
    with torch.no_grad():
        _, expected = deployed(spec, quantized, "int8", raw_logits=True)(rgb)
    noise = np.square(logits - expected.numpy()).mean()
    assert np.square(expected.numpy()).mean() / max(noise, 1e-20) > 1e3


def test_scales_for_cpu_runtimes_name_float_tensors_and_form_integer_adds() -> None:
    model = exported(DEEPLAB, SIZE, "int8")
    entries = {entry.key: entry.value for entry in model.metadata_props}
    scales = json.loads(entries["edgeseg.residual_scales"])
    kinds = [getattr(producer(model, name), "op_type", "") for name in scales]
    assert kinds.count("Conv") == 10
    assert kinds.count("Relu") == 2
    assert all(scale > 0 for scale in scales.values())
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    rewrite_activations(rewritten)
    for add in (n for n in rewritten.graph.node if n.op_type == "Add"):
        if "normalize" not in add.name:
            assert all(grid_source(rewritten, name) for name in add.input), add.name
    rgb, _ = frames(SIZE, 1, seed=9)
    (labels,) = run_unoptimized(rewritten, rgb.numpy())
    assert (labels == torch_labels(DEEPLAB, SIZE, "int8")).mean() > 0.95


@pytest.mark.parametrize("arch", ["segnet-basic", pytest.param("segnet", marks=pytest.mark.slow)])
@pytest.mark.parametrize("side", ["x", "maximum"])
def test_unpooling_stands_either_side_of_its_comparison_in_fp16(arch: str, side: str) -> None:
    """A runtime may hold one branch of `x > Resize(max) - s/2` in FP16 and the other in FP32."""
    model = exported(arch, SIZES[arch], "int8")
    rgb, _ = frames(SIZES[arch], 1, seed=9)
    (expected,) = run_unoptimized(model, rgb.numpy())
    rounded = onnx.ModelProto()
    rounded.CopyFrom(model)
    graph = rounded.graph
    nodes, count = [], 0
    for node in graph.node:
        if node.op_type == "Greater":
            place = 0 if side == "x" else 1
            name = f"{node.name}/half"
            down, up = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
            nodes.append(onnx.helper.make_node("Cast", [node.input[place]], [name], to=down))
            nodes.append(onnx.helper.make_node("Cast", [name], [f"{name}/whole"], to=up))
            node.input[place] = f"{name}/whole"
            count += 1
        nodes.append(node)
    assert count == len([n for n in graph.node if n.name.endswith("/MaxPool_2")])
    assert count >= 4
    del graph.node[:]
    graph.node.extend(nodes)
    (labels,) = run_unoptimized(rounded, rgb.numpy())
    assert np.array_equal(labels, expected)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("size_hw", [ODD, pytest.param((360, 480), marks=pytest.mark.slow)])
@pytest.mark.parametrize("arch", ["segnet-basic", pytest.param("segnet", marks=pytest.mark.slow)])
def test_the_float_graph_in_float64_gives_every_label_of_max_unpooling(
    arch: str, size_hw: tuple[int, int]
) -> None:
    """Other runtimes round convolutions differently, and where two cells of a window are equal to
    rounding they un-pool to another one. The graph itself is max_unpool2d's.
    """
    spec, net, _ = net_of(arch, size_hw)
    native = trace(copy.deepcopy(net))
    fold_batch_norms(native)
    rgb, _ = frames(size_hw, 1, seed=9)
    with torch.no_grad():
        found = run_in_torch(exported(arch, size_hw, "fp32"), rgb)
        logits = native.double().eval()(found["normalize/Div"])
        exact = LabelNet(spec, native).normalize(rgb)
    torch.testing.assert_close(found["normalize/Div"], exact.double(), rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["classifier/Conv"], logits, rtol=0, atol=1e-9)
    assert len(logits.argmax(1).unique()) >= 2
    assert torch.equal(found["labels"], logits.argmax(1).to(torch.uint8))
