"""The golden pair: one frame with torch's labels, and the check of an exported graph on it."""

from __future__ import annotations

import numpy as np
import onnx
import torch

from edgeseg.core.bundle import Golden
from edgeseg.core.spec import ModelSpec
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.export.layer_check import FLOAT16, FLOAT32, LayerDifference, worst_layer
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.models.label_net import LabelNet, resize_logits
from edgeseg.host.quantization.fake_quant.layers import ActivationQuantizer

SEED = 20
# Share of the golden frame's labels that the exported graph must give as torch does. FP32 differs
# where two logits are equal to rounding; FP16 and INT8 also where a value rounds the other way.
AGREEMENT = {"fp32": 0.999, "fp16": 0.98, "int8": 0.95}
# A disturbance of the size of float32 rounding, relative; and of FP16's.
ROUNDING = 1e-6
HALF_ROUNDING = 2.0**-11
# Further share that a graph may lose against the torch network under that disturbance.
MARGIN = 0.1
SEEDS = 3
REPORT = "this is a fault of the export, please report it with the checkpoint"


def golden_frame(spec: ModelSpec) -> np.ndarray:
    """Return a frame uint8 1,h,w,3 of the synthetic drive at the model's size."""
    rgb, _ = SyntheticDrive(spec.size_hw, seed=SEED, n=1).frame(0)
    return np.ascontiguousarray(rgb[None])


@torch.no_grad()
def golden_pair(spec: ModelSpec, net: LabelNet) -> Golden:
    """Return the golden frame and the labels torch gives for it."""
    frame = golden_frame(spec)
    return Golden(frame, np.ascontiguousarray(net(torch.from_numpy(frame)).numpy()))


def check_graph(
    data: bytes, golden: Golden, net: LabelNet, precision: str, *, half: bool = False
) -> None:
    """Run an exported graph on the golden frame; the exporter is not taken at its word.

    An INT8 graph is compared layer by layer (layer_check.py), which tells a wrong graph from
    rounding on any network, trained or not. Other graphs are compared by their labels. A network
    that is hardly trained gives other labels under float rounding alone, so that no graph is held
    to more than torch's own agreement with itself under a disturbance of that size.

    Args:
        data: the ONNX file.
        golden: the pair that torch made.
        net: the network that was exported.
        precision: its precision.
        half: whether the graph's float arithmetic is FP16.

    Raises:
        ExportError: the graph does not compute what torch does. Without onnxruntime nothing is
            checked.
    """
    try:
        labels = run_unoptimized(onnx.load_from_string(data), golden.frame)[0]
    except UsageError:
        return
    except Exception as error:
        # The runtime's error classes share no base of their own.
        summary = str(error).strip().splitlines()[0]
        raise ExportError(f"the exported graph cannot be run ({summary}); {REPORT}") from error
    if labels.shape != golden.labels.shape:
        raise ExportError(f"the exported graph gives labels {labels.shape}, expected "
                          f"{golden.labels.shape}; {REPORT}")  # fmt: skip
    agreement = float((labels == golden.labels).mean())
    if precision == "int8":
        found = worst_layer(data, net, golden.frame, FLOAT16 if half else FLOAT32)
        if found is None:
            return
        if isinstance(found, LayerDifference):
            raise ExportError(f"the exported graph computes {found.told()}, each from torch's own "
                              f"values before it; {REPORT}")  # fmt: skip
    if agreement >= AGREEMENT[precision]:
        return
    expected = min(AGREEMENT[precision], _agreement_with_itself(golden, net, half) - MARGIN)
    if agreement < expected:
        raise ExportError(
            f"the exported graph gives torch's label on {agreement:.2%} of the golden frame, "
            f"expected {expected:.1%}; {REPORT}"
        )


@torch.no_grad()
def _agreement_with_itself(golden: Golden, net: LabelNet, half: bool) -> float:
    """Return torch's smallest agreement with itself over SEEDS disturbances of its input.

    The disturbance is what rounding may do: half a step of the first quantizer, or the error of
    the float type where nothing is quantized.
    """
    x = net.normalize(torch.from_numpy(golden.frame))
    steps = [
        float(layer.step())
        for layer in net.modules()
        if isinstance(layer, ActivationQuantizer) and layer.quantizing
    ]
    rounding = HALF_ROUNDING if half else ROUNDING
    found = []
    for seed in range(SEEDS):
        generator = torch.Generator().manual_seed(seed)
        if steps:
            moved = x + steps[0] * (torch.rand(x.shape, generator=generator) - 0.5)
        else:
            moved = x * (1 + rounding * torch.randn(x.shape, generator=generator))
        logits = net.model(moved)
        labels = resize_logits(logits, golden.frame.shape[1:3]).argmax(1).numpy()
        found.append(float((labels == golden.labels).mean()))
    return min(found)
