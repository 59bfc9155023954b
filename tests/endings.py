"""A graph that ends as export writes it: logits, resize, argmax, labels."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SMALL, LARGE = (7, 10), (29, 40)
LINEAR = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}


def ending(size_hw=LARGE, *, axis=1, last=0, **resize) -> onnx.ModelProto:
    """Logits 2,5,7,10 -> resize -> argmax -> two casts -> labels."""
    shape = [2, *size_hw]
    nodes = [
        helper.make_node("Identity", ["logits"], ["planes"]),
        helper.make_node("Resize", ["planes", "", "", "sizes"], ["large"], **{**LINEAR, **resize}),
        helper.make_node(
            "ArgMax", ["large"], ["index"], axis=axis, keepdims=0, select_last_index=last
        ),
        helper.make_node("Cast", ["index"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["float"], ["labels"], to=TensorProto.UINT8),
    ]
    return helper.make_model(
        helper.make_graph(
            nodes,
            "end",
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [2, 5, *SMALL])],
            [helper.make_tensor_value_info("labels", TensorProto.UINT8, shape)],
            [numpy_helper.from_array(np.array([2, 5, *size_hw]), "sizes")],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=10,
    )
