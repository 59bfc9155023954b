"""Small ONNX networks as others write them, each with a convolution, a batch norm and a skip."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

CLASSES = ("floor", "pallet", "person")
SIZE = (32, 48)


def classes_txt(folder: Path, names: Sequence[str] = CLASSES) -> Path:
    path = folder / "classes.txt"
    path.write_text("".join(f"{name}\n" for name in names))
    return path


class Draft:
    """A graph in the making: constants and nodes by name."""

    def __init__(self, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def weight(self, name: str, *shape: int) -> str:
        fan_in = max(1, int(np.prod(shape[1:])))
        values = self.random.normal(0, (2 / fan_in) ** 0.5, shape)
        return self.constant(name, values.astype(np.float32))

    def constant(self, name: str, values: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def add(self, kind: str, inputs: Sequence[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def conv(self, source: str, name: str, inside: int, out: int, size: int = 3, **more) -> str:
        weight = self.weight(f"{name}.weight", out, inside, size, size)
        pads = [size // 2] * 4
        return self.add("Conv", [source, weight], name, pads=pads, **more)

    def norm(self, source: str, name: str, channels: int) -> str:
        values = {
            "gain": self.random.uniform(0.5, 1.5, channels),
            "shift": self.random.normal(0, 0.3, channels),
            "mean": self.random.normal(0, 0.3, channels),
            "variance": self.random.uniform(0.5, 2, channels),
        }
        names = [self.constant(f"{name}.{k}", v.astype(np.float32)) for k, v in values.items()]
        return self.add("BatchNormalization", [source, *names], name, epsilon=1e-3)


def network(
    path: Path,
    end: Callable[[Draft, str], Sequence[str]] = lambda draft, scores: [scores],
    *,
    size: tuple[int | str, int | str] = SIZE,
    batch: int | str = 1,
    classes: int = len(CLASSES),
    channels_last: bool = False,
    opset: int = 17,
    upsample: bool = True,
    element: int = TensorProto.FLOAT,
    change: Callable[[onnx.ModelProto], None] = lambda model: None,
) -> onnx.ModelProto:
    """Write a network of two convolutions at half the size, scores at the full size or at half.

    Args:
        path: the file.
        end: adds nodes behind the scores and returns the outputs' names.
        size: of the picture; a text is a dynamic one.
        batch: likewise.
        classes: of the scores.
        channels_last: takes N,H,W,3.
        opset: of the file.
        upsample: bring the scores to the picture's size.
        element: the input's type; bytes are cast.
        change: what else is done to the model before it is written.
    """
    draft = Draft()
    x = "image"
    if element != TensorProto.FLOAT:
        x = draft.add("Cast", [x], "floats", to=TensorProto.FLOAT)
    if channels_last:
        x = draft.add("Transpose", [x], "planes", perm=[0, 3, 1, 2])
    x = draft.conv(x, "stem", 3, 8, strides=[2, 2])
    x = draft.norm(x, "stem_norm", 8)
    x = draft.add("Relu", [x], "stem_relu")
    y = draft.conv(x, "block", 8, 8)
    y = draft.norm(y, "block_norm", 8)
    y = draft.add("Add", [x, y], "sum")
    scores = draft.conv(y, "classifier", 8, classes, 1)
    if upsample:
        draft.constant("none", np.array([], np.float32))
        draft.constant("scales", np.array([1, 1, 2, 2], np.float32))
        scores = draft.add(
            "Resize", [scores, "none", "scales"], "scores", mode="linear",
            coordinate_transformation_mode="half_pixel",
        )  # fmt: skip
    outputs = end(draft, scores)
    shape = [batch, *size, 3] if channels_last else [batch, 3, *size]
    graph = helper.make_graph(
        draft.nodes,
        "network",
        [helper.make_tensor_value_info("image", element, shape)],
        [helper.make_empty_tensor_value_info(name) for name in outputs],
        draft.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 8
    # Types and ranks of the outputs, as exporters write them.
    model = onnx.shape_inference.infer_shapes(model)
    del model.graph.value_info[:]
    change(model)
    onnx.save(model, path)
    return model
