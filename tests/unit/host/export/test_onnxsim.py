import numpy as np
import onnx
import pytest
from onnx import helper

from edgeseg.errors import ExportError
from edgeseg.host.export.onnxsim import run_unoptimized, simplify

onnxsim = pytest.importorskip("onnxsim", reason="onnxsim is not installed")


def model() -> onnx.ModelProto:
    value = helper.make_tensor_value_info
    made = helper.make_model(
        helper.make_graph(
            [
                helper.make_node("Identity", ["x"], ["a"]),
                helper.make_node("Relu", ["a"], ["b"]),
                helper.make_node("Identity", ["b"], ["y"]),
            ],
            "test",
            [value("x", onnx.TensorProto.FLOAT, [2, 3])],
            [value("y", onnx.TensorProto.FLOAT, [2, 3])],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    made.ir_version = 10
    return made


X = np.array([[-1, 2, -3], [4, -5, 6]], np.float32)


def test_fewer_nodes_and_the_same_result() -> None:
    simplified = simplify(model(), X)
    assert [node.op_type for node in simplified.graph.node] == ["Relu"]
    assert np.array_equal(run_unoptimized(simplified, X)[0], np.maximum(X, 0))


def test_a_changed_output_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(given: onnx.ModelProto, check_n: int) -> tuple[onnx.ModelProto, bool]:
        broken = onnx.ModelProto()
        broken.CopyFrom(given)
        broken.graph.node[1].op_type = "Abs"
        return broken, True

    monkeypatch.setattr(onnxsim, "simplify", wrong)
    with pytest.raises(ExportError, match="changed output 'y'"):
        simplify(model(), X)
