"""A small quantized network under construction, into which tests plant faults."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

H, W = 8, 12


class Draft:
    """A graph under construction: nodes by their result, constants by name."""

    def __init__(self) -> None:
        self.nodes: dict[str, onnx.NodeProto] = {}
        self.constants: dict[str, np.ndarray] = {}
        self.opset = 18
        self.own = True  # with the metadata that edgeseg exports
        self.frame_shape: list[int | str] = [1, H, W, 3]

    def add(self, op: str, inputs: list[str], output: str, **attributes: object) -> str:
        domain = str(attributes.pop("domain", ""))
        self.nodes[output] = helper.make_node(
            op, inputs, [output], name=output, domain=domain, **attributes
        )
        return output

    def constant(self, name: str, value: object, dtype: type = np.float32) -> str:
        self.constants[name] = np.asarray(value, dtype)
        return name

    def pair(self, source: str, scale: float = 0.1, name: str = "") -> str:
        name = name or source
        self.constant(f"{name}.scale", scale)
        self.constant(f"{name}.zero", 0, np.int8)
        self.add("QuantizeLinear", [source, f"{name}.scale", f"{name}.zero"], f"{name}.q")
        return self.add(
            "DequantizeLinear", [f"{name}.q", f"{name}.scale", f"{name}.zero"], f"{name}.d"
        )

    def weight(self, name: str, shape: tuple[int, ...], axis: int = 0) -> str:
        levels = np.random.default_rng(0).integers(-127, 128, shape)
        self.constant(f"{name}.levels", levels, np.int8)
        self.constant(f"{name}.scale", np.full(shape[axis], 0.01))
        self.constant(f"{name}.zero", np.zeros(shape[axis]), np.int8)
        inputs = [f"{name}.levels", f"{name}.scale", f"{name}.zero"]
        return self.add("DequantizeLinear", inputs, f"{name}.w", axis=axis)

    def conv(self, source: str, name: str, channels: int = 32, read: int = 32) -> str:
        weight = self.weight(name, (channels, read, 3, 3))
        bias = self.constant(f"{name}.bias", np.zeros(channels))
        return self.add("Conv", [source, weight, bias], name, pads=[1, 1, 1, 1])

    def before(self, later: str, op: str, inputs: list[str], output: str, **kw: object) -> str:
        """Add a node in front of the one that makes `later`."""
        self.add(op, inputs, output, **kw)
        names = list(self.nodes)
        names.insert(names.index(later), names.pop())
        self.nodes = {name: self.nodes[name] for name in names}
        return output

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(
            list(self.nodes.values()),
            "draft",
            [helper.make_tensor_value_info("frame", TensorProto.UINT8, self.frame_shape)],
            [helper.make_tensor_value_info("labels", TensorProto.UINT8, [1, H, W])],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        opsets = [helper.make_opsetid("", self.opset), helper.make_opsetid("other", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        if self.own:
            helper.set_model_props(model, {"edgeseg.precision": "int8"})
        return model


def clean() -> Draft:
    """A small network with a residual, a pooling, a resize, a concatenation and a float head."""
    g = Draft()
    g.add("Cast", ["frame"], "float", to=TensorProto.FLOAT)
    g.add("Transpose", ["float"], "x", perm=[0, 3, 1, 2])
    g.conv(g.pair("x"), "stem", read=3)
    g.add("Relu", ["stem"], "act")
    skip = g.pair("act")
    g.conv(skip, "branch")
    g.add("Add", ["branch", skip], "sum")
    summed = g.pair("sum", name="wide")
    g.add("MaxPool", [summed], "pooled", kernel_shape=[2, 2], strides=[2, 2])
    g.conv("pooled", "deep")
    g.constant("size", [1, 32, H, W], np.int64)
    g.add("Resize", ["deep", "", "", "size"], "up", mode="linear")
    g.add("Concat", [g.pair("up", name="up"), summed], "both", axis=1)
    g.conv(g.pair("both", name="both"), "refine", read=64)
    g.constant("head.weight", np.ones((11, 32, 1, 1)))
    g.add("Conv", [g.pair("refine"), "head.weight"], "logits")
    g.add("ArgMax", ["logits"], "index", axis=1, keepdims=0)
    g.add("Cast", ["index"], "index.float", to=TensorProto.FLOAT)
    g.add("Cast", ["index.float"], "labels", to=TensorProto.UINT8)
    return g
