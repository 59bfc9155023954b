import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from tinybundle import graph
from trained_nets import spec_of, trained

from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.core.graph.unpool_plugin import DOMAIN, plugin_form
from edgeseg.errors import ExportError
from edgeseg.host.export.export import export_onnx
from edgeseg.host.export.golden import golden_frame
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize
from edgeseg.lint.boards import find_board
from edgeseg.lint.check import lines_of, lint
from edgeseg.lint.roofline import roofline

SIZE_HW = (64, 96)


def pooled(x: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return F.max_pool2d(
        torch.from_numpy(x.astype(np.float32)), 2, 2, ceil_mode=True, return_indices=True
    )


class EdgesegMaxPool(OpRun):
    """The plugin by torch; flat indices stand for its packed ones."""

    op_domain = DOMAIN

    def _run(self, x, plugin_version=None, plugin_namespace=None):
        values, indices = pooled(x)
        return values.numpy().astype(x.dtype), indices.numpy()


class EdgesegMaxUnpool(OpRun):
    op_domain = DOMAIN

    def _run(self, values, indices, like, plugin_version=None, plugin_namespace=None):
        y = F.max_unpool2d(
            torch.from_numpy(values.astype(np.float32)), torch.from_numpy(indices), 2, 2,
            output_size=like.shape[-2:],
        )  # fmt: skip
        return (y.numpy().astype(values.dtype),)


def labels(data: bytes, frame: np.ndarray) -> np.ndarray:
    model = onnx.load_from_string(data)
    # The evaluator knows Q/DQ from 19 on; for INT8 they mean there what they mean in 18.
    model.opset_import[0].version = max(19, model.opset_import[0].version)
    session = ReferenceEvaluator(model, new_ops=[EdgesegMaxPool, EdgesegMaxUnpool])
    return session.run(["labels"], {"frame": frame})[0]


@pytest.fixture(scope="module")
def graphs() -> tuple[np.ndarray, dict[str, bytes]]:
    spec = spec_of("segnet-basic", SIZE_HW)
    net = trained(spec)
    frames = (torch.randn(1, 3, *SIZE_HW) for _ in range(2))
    quantized, _ = quantize(net, QuantizeOptions(observer="max"), frames)
    int8 = export_onnx(spec, quantized, "int8")
    islands = with_fp16_islands(onnx.load_from_string(int8)).SerializeToString()
    found = {"fp32": export_onnx(spec, net, "fp32"), "int8": int8, "islands": islands}
    return golden_frame(spec), found


@pytest.mark.parametrize("kind", ["int8", "islands"])
def test_the_plugin_costs_no_int8_convolution_and_hides_no_size(graphs, kind):
    _, found = graphs
    lowered, plugin = onnx.load_from_string(found[kind]), plugin_form(found[kind])
    lines = lines_of(["trt10.3"])
    before = lint(lowered, lines=lines)
    after = lint(onnx.load_from_string(plugin), lines=lines)
    assert after.convs_int8 == before.convs_int8 >= 7
    assert not [f for f in after.findings if f.severity == "error"]
    plan = after.plans["trt10.3"]
    assert not [layer.unknown for layer in plan if layer.unknown]
    assert sum(layer.macs for layer in plan) == sum(layer.macs for layer in before.plans["trt10.3"])
    floor = roofline(plan, find_board("orin-nano"))
    assert floor.unknown == 0
    # Without the sizes, what stands behind a plugin is said to be unknown, not counted as 0.
    blind = onnx.load_from_string(plugin)
    del blind.graph.value_info[:]
    (hidden,) = lint(blind, lines=lines).plans.values()
    assert roofline(hidden, find_board("orin-nano")).unknown > 5


@pytest.mark.parametrize("kind", ["fp32", "int8", "islands"])
def test_both_forms_of_un_pooling_give_the_same_labels(graphs, kind):
    frame, found = graphs
    data = plugin_form(found[kind])
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model)
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("EdgesegMaxPool") == kinds.count("EdgesegMaxUnpool") == 4
    assert not {"MaxPool", "Where", "Greater", "Equal"} & set(kinds)
    # Only the logits' resize is left.
    assert kinds.count("Resize") <= 1
    assert np.array_equal(labels(data, frame), labels(found[kind], frame))


def test_a_network_without_un_pooling_is_refused():
    with pytest.raises(ExportError, match="has no un-pooling"):
        plugin_form(graph().SerializeToString())
