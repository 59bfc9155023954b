"""A wrong INT8 graph is told from rounding, on a network that is trained and on one that is not."""

import dataclasses
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from trained_nets import frames, spec_of, trained

from edgeseg.errors import ExportError
from edgeseg.host.export.export import deployed, export_onnx
from edgeseg.host.export.golden import check_graph, golden_pair
from edgeseg.host.export.layer_check import FLOAT32, worst_layer
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.models import build_model
from edgeseg.host.models.label_net import Normalize
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize

SPEC = spec_of("segnet-basic", (48, 64))
Model = onnx.ModelProto


@pytest.fixture(scope="module", params=[0, 10], ids=["untrained", "trained"])
def exported(request):
    """The graph's bytes, the network that it came from, and its golden pair."""
    torch.manual_seed(0)
    net = trained(SPEC, steps=request.param) if request.param else build_model(SPEC).eval()
    with torch.no_grad():
        for layer in net.modules():
            if isinstance(layer, torch.nn.BatchNorm2d) and not request.param:
                # A fresh network has no biases that could be lost.
                layer.bias.normal_()
    images = [Normalize(SPEC.preprocess)(rgb[None]) for rgb in frames(SPEC.size_hw, 2, seed=5)[0]]
    module, _ = quantize(net, QuantizeOptions("max"), images)
    dep = deployed(SPEC, module, "int8")
    return export_onnx(SPEC, module, "int8"), dep, golden_pair(SPEC, dep)


def nodes(model: Model, kind: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if node.op_type == kind]


def constant(model: Model, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def change(model: Model, name: str, function: Callable[[np.ndarray], np.ndarray]) -> None:
    tensor = constant(model, name)
    tensor.CopyFrom(numpy_helper.from_array(function(numpy_helper.to_array(tensor)), name))


def swapped_scale(model: Model) -> None:
    first, second = [node.input[1] for node in nodes(model, "QuantizeLinear")][1:3]
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            names = {first: second, second: first}
            node.input[1] = names.get(node.input[1], node.input[1])


def dropped_bias(model: Model) -> None:
    change(model, nodes(model, "Conv")[1].input[2], np.zeros_like)


def shifted_axis(model: Model) -> None:
    weights = [n for n in nodes(model, "DequantizeLinear") if constant_or_none(model, n.input[0])]
    change(model, weights[1].input[1], lambda scale: np.roll(scale, 1))


def constant_or_none(model: Model, name: str) -> bool:
    return any(tensor.name == name and tensor.dims for tensor in model.graph.initializer)


def wrong_padding(model: Model) -> None:
    pads = next(a for a in nodes(model, "Conv")[1].attribute if a.name == "pads")
    top, left, bottom, right = pads.ints
    pads.ints[:] = [top - 1, left, bottom + 1, right]


def flipped_labels(model: Model) -> None:
    weights = [n for n in nodes(model, "DequantizeLinear") if constant_or_none(model, n.input[0])]
    change(model, weights[-1].input[0], lambda weight: weight[::-1].copy())


FAULTS = (swapped_scale, dropped_bias, shifted_axis, wrong_padding, flipped_labels)


def test_a_right_graph_passes_on_every_layer(exported):
    data, net, golden = exported
    assert worst_layer(data, net, golden.frame, FLOAT32) is None
    check_graph(data, golden, net, "int8")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_caught(exported, fault):
    data, net, golden = exported
    model = onnx.load_from_string(data)
    fault(model)
    with pytest.raises(ExportError, match=r"otherwise than torch|other labels than torch"):
        check_graph(model.SerializeToString(), golden, net, "int8")


def test_what_rounding_did_before_a_layer_does_not_count_against_it(exported):
    # A graph whose first step rounds half of its values to the next one, and all behind is right:
    # one layer is named, not the labels that follow from it.
    data, net, golden = exported
    model = onnx.load_from_string(data)
    first = nodes(model, "QuantizeLinear")[0]
    change(model, first.input[1], lambda scale: scale * np.float32(1.02))
    labels = run_unoptimized(model, golden.frame)[0]
    found = worst_layer(model.SerializeToString(), net, golden.frame, FLOAT32)
    assert (labels == golden.labels).mean() < 1
    assert found.tensor == first.input[0]
    loose = dataclasses.replace(FLOAT32, off=1.0, far=1.0)
    assert worst_layer(model.SerializeToString(), net, golden.frame, loose) is None


def test_quantizers_that_cannot_be_paired_are_told(exported):
    data, net, golden = exported
    model = onnx.load_from_string(data)
    again = nodes(model, "QuantizeLinear")[0]
    extra = onnx.NodeProto()
    extra.CopyFrom(again)
    extra.output[0] = "another"
    model.graph.node.append(extra)
    found = worst_layer(model.SerializeToString(), net, golden.frame, FLOAT32)
    assert found == "the graph has 14 quantizers, torch 13"
