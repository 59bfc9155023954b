"""The golden pair: one frame with torch's labels, and the check of an exported graph on it."""

from __future__ import annotations

import numpy as np
import onnx
import torch

from edgeseg.core.bundle import Golden
from edgeseg.core.spec import ModelSpec
from edgeseg.core.synthetic.drive import SyntheticDrive
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.export.onnxsim import run_unoptimized
from edgeseg.host.models.label_net import LabelNet, resize_logits

SEED = 20
# Share of the golden frame's labels that the exported graph must give as torch does. FP32 differs
# where two logits are equal to rounding; FP16 and INT8 also where a value rounds the other way.
AGREEMENT = {"fp32": 0.999, "fp16": 0.98, "int8": 0.95}
# A disturbance of the size of float32 rounding, relative; and of FP16's.
ROUNDING = 1e-6
HALF_ROUNDING = 2.0**-11
# Further share that a graph may lose against the torch network under that disturbance.
MARGIN = 0.1


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
    data: bytes, golden: Golden, net: LabelNet, precision: str, *, rounding: float = ROUNDING
) -> None:
    """Run an exported graph on the golden frame; the exporter is not taken at its word.

    A quantized network that was hardly trained gives other labels under float rounding alone, so
    no graph is held to more than torch's own agreement with itself under that disturbance.

    Args:
        data: the ONNX file.
        golden: the pair that torch made.
        net: the network that was exported.
        precision: its precision.
        rounding: relative error of the graph's float arithmetic.

    Raises:
        ExportError: the graph's labels are too often not torch's. Without onnxruntime nothing is
            checked.
    """
    try:
        labels = run_unoptimized(onnx.load_from_string(data), golden.frame)[0]
    except UsageError:
        return
    agreement = float((labels == golden.labels).mean())
    if agreement >= AGREEMENT[precision]:
        return
    expected = min(AGREEMENT[precision], _agreement_with_itself(golden, net, rounding) - MARGIN)
    if agreement < expected:
        raise ExportError(
            f"the exported graph gives torch's label on {agreement:.2%} of the golden frame, "
            f"expected {expected:.1%}; this is a fault of the export, please report it with the "
            "checkpoint"
        )


@torch.no_grad()
def _agreement_with_itself(golden: Golden, net: LabelNet, rounding: float) -> float:
    x = net.normalize(torch.from_numpy(golden.frame))
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    logits = net.model(x * (1 + rounding * noise))
    labels = resize_logits(logits, golden.frame.shape[1:3]).argmax(1).numpy()
    return float((labels == golden.labels).mean())
