"""Bundles of a few nodes, made without torch, whose right labels numpy knows."""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeseg.core.bundle import Bundle, Golden, read_bundle, write_bundle
from edgeseg.core.spec import ModelSpec

SIZE_HW = (48, 64)
NAMES = ("red", "green", "blue")
PALETTE = ((255, 0, 0), (0, 255, 0), (0, 0, 255))


def spec(size_hw: tuple[int, int] = SIZE_HW) -> ModelSpec:
    """Three classes: which of R, G and B is largest."""
    return ModelSpec("tiny", class_names=NAMES, palette=PALETTE, ignore_index=255, size_hw=size_hw)


def expected_labels(rgb: np.ndarray) -> np.ndarray:
    """What the tiny graphs give: the channel of the largest value, the first of equals."""
    return rgb.argmax(axis=-1).astype(np.uint8)


def random_frame(seed: int = 0, size_hw: tuple[int, int] = SIZE_HW) -> np.ndarray:
    """A frame whose largest channel leads by 40 or more, so that INT8 steps cannot change it."""
    rng = np.random.default_rng(seed)
    rgb = rng.integers(0, 200, (*size_hw, 3), dtype=np.uint8)
    lead = rng.integers(0, 3, size_hw)
    np.put_along_axis(rgb, lead[..., None], 245, axis=-1)
    return rgb


def graph(
    size_hw: tuple[int, int] = SIZE_HW, *, int8: bool = False, reach: float = 1.0
) -> onnx.ModelProto:
    """frame uint8 -> 1x1 conv -> ReLU -> residual add -> 1x1 conv -> argmax -> labels uint8.

    Every convolution is the identity. With `int8` the activations and weights pass through Q/DQ as
    TensorRT wants them: int8, zero-point 0, weights per output channel. `reach` is the value at
    which the activations clip, where 1 is a colour of 255.
    """
    h, w = size_hw
    initializers = [
        numpy_helper.from_array(np.float32(1 / 255), "unit"),
        numpy_helper.from_array(np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1), "eye"),
        numpy_helper.from_array((np.eye(3) * 127).astype(np.int8).reshape(3, 3, 1, 1), "eye_q"),
        numpy_helper.from_array(np.full(3, 1 / 127, np.float32), "eye_scale"),
        numpy_helper.from_array(np.zeros(3, np.int8), "eye_zero"),
        numpy_helper.from_array(np.zeros(3, np.float32), "bias"),
        numpy_helper.from_array(np.float32(reach / 127), "scale"),
        numpy_helper.from_array(np.float32(2 / 127), "scale_sum"),
        numpy_helper.from_array(np.int8(0), "zero"),
    ]
    nodes = [
        helper.make_node("Cast", ["frame"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["float", "unit"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["x"], perm=[0, 3, 1, 2]),
    ]

    def quantized(name: str, scale: str = "scale") -> str:
        if not int8:
            return name
        nodes.append(helper.make_node("QuantizeLinear", [name, scale, "zero"], [f"{name}_q"]))
        nodes.append(
            helper.make_node("DequantizeLinear", [f"{name}_q", scale, "zero"], [f"{name}_dq"])
        )
        return f"{name}_dq"

    weight = "eye"
    if int8:
        nodes.append(
            helper.make_node("DequantizeLinear", ["eye_q", "eye_scale", "eye_zero"], ["w"], axis=0)
        )
        weight = "w"
    first = quantized("x")
    nodes.append(helper.make_node("Conv", [first, weight, "bias"], ["conv1"]))
    nodes.append(helper.make_node("Relu", ["conv1"], ["relu1"]))
    skip = quantized("relu1")
    nodes.append(helper.make_node("Conv", [skip, weight, "bias"], ["conv2"]))
    nodes.append(helper.make_node("Add", ["conv2", skip], ["sum"]))
    nodes.append(helper.make_node("Conv", [quantized("sum", "scale_sum"), weight], ["logits"]))
    nodes.append(helper.make_node("ArgMax", ["logits"], ["index"], axis=1, keepdims=0))
    nodes.append(helper.make_node("Cast", ["index"], ["labels"], to=TensorProto.UINT8))
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "tiny",
            [helper.make_tensor_value_info("frame", TensorProto.UINT8, [1, h, w, 3])],
            [helper.make_tensor_value_info("labels", TensorProto.UINT8, [1, h, w])],
            initializers,
        ),
        opset_imports=[helper.make_opsetid("", 18)],
    )
    model.ir_version = 10
    if int8:
        entry = model.metadata_props.add()
        entry.key, entry.value = "edgeseg.residual_scales", '{"conv2": 0.007874015748031496}'
    onnx.checker.check_model(model, full_check=True)
    return model


def tiny_bundle(
    path: Path,
    *,
    precision: str = "fp32",
    size_hw: tuple[int, int] = SIZE_HW,
    reach: float = 1.0,
) -> Bundle:
    """Write one of the graphs as a bundle."""
    frame = random_frame(99, size_hw)[None]
    return write_bundle(
        path,
        graph(size_hw, int8=precision == "int8", reach=reach).SerializeToString(),
        Golden(frame, expected_labels(frame)),
        name=f"tiny-{precision}",
        spec=spec(size_hw),
        precision=precision,
        opset=18,
    )


def vouched(folder: Path, **files: bytes) -> Bundle:
    """Put other content into a bundle, its manifest's hashes with it: model for model.onnx."""
    names = {"model": "model.onnx", "golden": "golden.npz"}
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    for short, data in files.items():
        (folder / names[short]).write_bytes(data)
        entry = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
        manifest["files"][names[short]] = entry
    path.write_text(json.dumps(manifest))
    return read_bundle(folder)
