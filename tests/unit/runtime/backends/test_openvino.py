import pytest
from tinybundle import SIZE_HW, random_frame, tiny_bundle

from edgeseg.errors import UsageError
from edgeseg.runtime.backends import open_backend

pytest.importorskip("openvino")


def test_the_float_precision_is_held_or_left_to_the_runtime(tmp_path):
    bundle = tiny_bundle(tmp_path / "b")
    with open_backend("openvino", bundle, float_precision="f32") as held:
        assert held.io.precision == "f32"
    with open_backend("openvino", bundle, float_precision="default") as free:
        assert free.io.precision in ("f32", "bf16", "f16")
        assert free.infer(random_frame()[None]).shape == (1, *SIZE_HW)
    with pytest.raises(UsageError, match="float_precision is 'half'"):
        open_backend("openvino", bundle, float_precision="half")
