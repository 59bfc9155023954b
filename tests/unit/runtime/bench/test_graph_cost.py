import pytest
from tinybundle import tiny_bundle

from edgeseg.runtime.bench.graph_cost import bundle_cost, graph_cost

pytest.importorskip("onnx")


@pytest.mark.parametrize(("precision", "share"), [("fp32", 0.0), ("int8", 1.0)])
def test_a_graph_of_three_1x1_convolutions(tmp_path, precision, share):
    bundle = tiny_bundle(tmp_path / "b", precision=precision)
    found = graph_cost(bundle.onnx_path)
    assert found["macs"] == 3 * 48 * 64 * 3 * 3
    assert found["params"] == 3 * 9 + 2 * 3
    assert found["int8_conv_share"] == pytest.approx(share)
    assert bundle_cost(bundle) == {
        **found,
        "bundle_bytes": bundle.size_bytes,
        "onnx_bytes": bundle.onnx_path.stat().st_size,
    }


@pytest.mark.slow
def test_macs_are_those_that_torch_counts():
    pytest.importorskip("torch")
    from edgeseg.core.zoo import default_bundle
    from edgeseg.host.cost import spec_cost

    bundle = default_bundle()
    assert graph_cost(bundle.onnx_path)["macs"] == spec_cost(bundle.spec).macs
