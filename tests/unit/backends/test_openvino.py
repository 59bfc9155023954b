import numpy as np
import pytest
from tinybundle import SIZE_HW, expected_labels, graph, random_frame, tiny_bundle

from edgeseg.errors import UsageError
from edgeseg.target.backends import open_backend

ov = pytest.importorskip("openvino")


def test_argmax_keeps_its_result_where_classes_tie():
    from edgeseg.target.backends.openvino import compare_instead_of_sorting

    frame = np.random.default_rng(0).integers(0, 4, (1, *SIZE_HW, 3), dtype=np.uint8)
    model = ov.Core().read_model(graph().SerializeToString())
    assert "TopK" in {node.get_type_name() for node in model.get_ordered_ops()}
    assert compare_instead_of_sorting(model) == 1
    assert "TopK" not in {node.get_type_name() for node in model.get_ordered_ops()}
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    labels = compiled({"frame": frame})["labels"]
    ties = (frame == frame.max(axis=-1, keepdims=True)).sum(axis=-1) > 1
    assert ties.mean() > 0.3
    assert np.array_equal(labels, expected_labels(frame))


def test_the_float_precision_is_held_or_left_to_the_runtime(tmp_path):
    bundle = tiny_bundle(tmp_path / "b")
    with open_backend("openvino", bundle, float_precision="f32") as held:
        assert held.io.precision == "f32"
    with open_backend("openvino", bundle, float_precision="default") as free:
        assert free.io.precision in ("f32", "bf16", "f16")
        assert free.infer(random_frame()[None]).shape == (1, *SIZE_HW)
    with pytest.raises(UsageError, match="float_precision is 'half'"):
        open_backend("openvino", bundle, float_precision="half")
