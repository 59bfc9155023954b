"""`edgeseg export BUNDLE --int8`: an imported graph, brought to torch and placed by the planner."""

from pathlib import Path

import onnx
import pytest
from foreign_onnx import classes_txt, network

from edgeseg.core.bundle import Bundle
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.export.job import export
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.from_onnx.network import network_of
from edgeseg.host.fx.tracing import head_of
from edgeseg.host.imports.job import import_job
from edgeseg.host.imports.job_options import ImportOptions
from edgeseg.host.quantization.qdq_placement import plan


def imported(folder: Path, **how: object) -> Bundle:
    network(folder / "net.onnx", **how)
    made = import_job(
        ImportOptions.of(
            source=str(folder / "net.onnx"), classes=classes_txt(folder), unit=True,
            out=folder / "net",
        )
    )  # fmt: skip
    assert isinstance(made, Bundle)
    return made


@pytest.mark.parametrize("how", [{}, {"upsample": False}, {"channels_last": True}], ids=str)
def test_its_network_is_planned_as_any_other(tmp_path, how):
    # network_of itself compares the labels with the bundle's.
    net = network_of(imported(tmp_path, **how), run_unoptimized)
    decided = plan(net)
    assert [row.weight for row in decided.layers] == ["axis 0", "axis 0", "float"]
    assert head_of(net) == decided.layers[-1].layer == "classifier"
    # The residual: the convolution's operand stays bare, the other one is quantized.
    ((_, skips, bare),) = decided.adds
    assert len(skips) == 1
    assert bare == ("block",)


def test_an_operator_that_torch_gets_from_nowhere_is_named(tmp_path):
    def end(draft, scores):
        return [draft.add("Celu", [scores], "strange")]

    with pytest.raises(ExportError, match="cannot bring to torch: Celu; import the network as"):
        network_of(imported(tmp_path, end=end), run_unoptimized)


def test_it_wants_data_and_no_options_of_a_checkpoint(tmp_path):
    bundle = imported(tmp_path)
    with pytest.raises(UsageError, match="give real frames with --calibrate DATA"):
        export(bundle.path, "int8")
    with pytest.raises(UsageError, match="is a bundle in fp32 already"):
        export(bundle.path, "fp16")


@pytest.mark.slow
def test_the_int8_bundle_has_pairs_and_torchs_labels(tmp_path):
    bundle = imported(tmp_path)
    made = export(bundle.path, "int8", calibrate="synthetic:3", out=tmp_path / "int8")
    graph = onnx.load_from_string(made.onnx_bytes()).graph
    assert sum(node.op_type == "QuantizeLinear" for node in graph.node) >= 3
    assert made.precision == "int8"
    assert [step["kind"] for step in made.steps] == ["import", "quantize"]
