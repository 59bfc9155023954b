"""Compares an exported INT8 graph with torch layer by layer, so that rounding cannot add up.

A quantized network turns a float's last bit into a whole step wherever a value lies between two
steps, and the layers behind carry that on. On a network that is hardly trained, torch then gives
other labels than itself. So each stretch of the graph between quantizers is given torch's own
integers and its result compared: ties round to the neighbouring step in few places, a wrong scale,
bias, axis or padding moves many values or moves them far, trained or not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.models.label_net import LabelNet
from edgeseg.host.quantization.fake_quant.layers import ActivationQuantizer

LABELS = "labels"


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What rounding may do to one quantized tensor.

    Attributes:
        off: largest share of values that may be on a neighbouring step.
        far: largest share that may be further away.
        labels: smallest share of equal labels behind torch's own last integers.
    """

    off: float
    far: float
    labels: float


FLOAT32 = Allowed(off=0.01, far=0.0, labels=0.999)
# 2**-11 of a value of 100 steps is 0.05 steps, so one value in ten may round the other way; sums of
# several such errors are larger.
FLOAT16 = Allowed(off=0.25, far=0.01, labels=0.95)


@dataclasses.dataclass(frozen=True)
class LayerDifference:
    """How one quantized tensor of the graph differs from torch's.

    Attributes:
        tensor: its name in the graph.
        off: share of values on another step.
        far: share of values two or more steps away.
        steps: largest difference in steps.
    """

    tensor: str
    off: float
    far: float
    steps: int

    def told(self) -> str:
        """Return what differs, for a message."""
        if self.tensor == LABELS:
            return f"other labels than torch on {self.off:.2%} of the golden frame"
        return (
            f"{self.tensor!r} otherwise than torch: {self.off:.2%} of the values are on another "
            f"step, the furthest by {self.steps}"
        )


def worst_layer(
    data: bytes, net: LabelNet, frame: np.ndarray, allowed: Allowed
) -> LayerDifference | str | None:
    """Compare every quantized tensor, each computed from torch's own integers.

    Args:
        data: the exported ONNX file.
        net: the network that was exported, its scales frozen.
        frame: uint8 1,h,w,3.
        allowed: what rounding may do.

    Returns:
        The first tensor that differs by more than rounding allows; None where none does; or why
        the graph's quantizers cannot be paired with torch's.

    Raises:
        UsageError: onnxruntime is not installed.
    """
    values, labels = _torch_integers(net, frame)
    model = onnx.load_from_string(data)
    nodes = [node for node in model.graph.node if node.op_type == "QuantizeLinear"]
    if len(nodes) != len(values):
        return f"the graph has {len(nodes)} quantizers, torch {len(values)}"
    if not nodes:
        return "nothing is quantized"
    names = [node.output[0] for node in nodes]
    forced = _forced(model, nodes, values)
    results = run_unoptimized(forced, frame, dict(zip(names, values, strict=True)))
    outputs = dict(zip([value.name for value in forced.graph.output], results, strict=True))
    for node, value in zip(nodes, values, strict=True):
        steps = np.abs(outputs[node.output[0]].astype(np.int16) - value)
        layer = LayerDifference(
            node.input[0], float((steps > 0).mean()), float((steps > 1).mean()), int(steps.max())
        )
        if layer.off > allowed.off or layer.far > allowed.far:
            return layer
    equal = float((outputs[LABELS] == labels).mean())
    return None if equal >= allowed.labels else LayerDifference(LABELS, 1 - equal, 0.0, 0)


@torch.no_grad()
def _torch_integers(net: LabelNet, frame: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
    """Return the int8 values of every quantizer call, in order, and the labels."""
    values: list[np.ndarray] = []

    def keep(module: ActivationQuantizer, given: object, result: torch.Tensor) -> None:
        if module.quantizing:
            step = module.step()
            values.append(torch.round(result / step).clamp(-128, 127).to(torch.int8).numpy())

    hooks = [
        module.register_forward_hook(keep)
        for module in net.modules()
        if isinstance(module, ActivationQuantizer)
    ]
    try:
        labels = net(torch.from_numpy(frame))
    finally:
        for hook in hooks:
            hook.remove()
    first = labels[0] if isinstance(labels, tuple) else labels
    return values, np.asarray(first.numpy())


def _forced(
    model: onnx.ModelProto, nodes: Sequence[onnx.NodeProto], values: Sequence[np.ndarray]
) -> onnx.ModelProto:
    """Cut the graph at its quantizers: what each gives is an output, what is read an input."""
    del model.graph.value_info[:]
    for node, value in zip(nodes, values, strict=True):
        name = node.output[0]
        node.output[0] = f"{name}__own"
        model.graph.output.append(
            helper.make_tensor_value_info(node.output[0], TensorProto.INT8, value.shape)
        )
        model.graph.input.append(helper.make_tensor_value_info(name, TensorProto.INT8, value.shape))
    return model
