"""Every architecture and every shipped bundle lints clean for every TensorRT line."""

import onnx
import pytest
import torch
from small_models import small
from trained_nets import frames

from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.core.graph.load import read_graph
from edgeseg.core.zoo import find_bundle, zoo_names
from edgeseg.host.export.export import export_onnx
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.models.label_net import Normalize
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize
from edgeseg.lint.check import LintResult, lint
from edgeseg.lint.tensorrt_versions import LINES

# An export takes seconds; these three hold every placement rule, the others run with the slow ones.
QUICK = ("segnet-basic", "deeplabv3plus-mobilenetv2", "fcn-basic")
SIZE = (64, 96)


def each(names):
    return [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(names)
    ]


def errors(result: LintResult) -> list[str]:
    return [f"{f.rule} {f.node}: {f.message}" for f in result.findings if f.severity == "error"]


@pytest.mark.parametrize("arch", each(MODELS))
def test_an_architecture_lints_clean_in_int8(arch: str) -> None:
    torch.manual_seed(0)
    spec = small(arch, size_hw=SIZE)
    rgb, _ = frames(SIZE, 1, seed=5)
    module, _ = quantize(
        build_model(spec).eval(), QuantizeOptions("max"), [Normalize(spec.preprocess)(rgb)]
    )
    model = onnx.load_from_string(export_onnx(spec, module, "int8"))
    result = lint(model, islands=with_fp16_islands(model))
    assert errors(result) == []
    # FCN-Basic without reduction adds what was quantized on both sides: slower, not wrong.
    warnings = {f.rule for f in result.findings if f.severity == "warning"}
    assert warnings <= ({"doubled-pair"} if arch == "fcn-basic-nodimreduction" else set())
    assert result.convs_int8 >= result.convs - 1
    assert set(result.plans) == set(LINES)


@pytest.mark.parametrize("name", zoo_names())
def test_a_shipped_bundle_lints_clean(name: str) -> None:
    bundle = find_bundle(name)
    model = read_graph(bundle.onnx_path)
    # Where the bundle leaves this form out, `build` makes it on the board.
    path = bundle.islands_path
    islands = read_graph(path) if path is not None else with_fp16_islands(model)
    result = lint(model, islands=islands)
    assert errors(result) == []
    assert set(result.plans) == set(LINES)
