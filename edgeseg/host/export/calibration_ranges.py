"""Fitted ranges as text: a table for review, and TensorRT's calibration cache.

Explicit Q/DQ needs neither. The cache is for runtimes that still quantize implicitly: DLA on
TensorRT up to 10.7. It is read together with the FP32 export of the same checkpoint, whose tensors
it names. Its form is that of the files TensorRT's entropy calibrator writes, as in
github.com/NVIDIA/TensorRT issue 2958: a header with the version, then `tensor: hex`, the hex digits
being the big-endian float32 of the scale (range / 127).
"""

from __future__ import annotations

import dataclasses
import json
import re
import struct
from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.export.export import export_onnx
from edgeseg.host.quantization.quantize import QuantizeOptions, quantizers_of

COLUMNS = f"{'range':>14} {'scale':>16}  {'hex':8}  tensor"
# The last release line whose DLA takes a calibration cache.
TENSORRT = "10.7.0"


@dataclasses.dataclass(frozen=True)
class Calibration:
    """The scale of each tensor of a quantized network.

    Attributes:
        model: what it is of.
        source: how the ranges were chosen, and from what.
        scales: float32 scale by name of the tensor in the FP32 graph, in execution order.
        without: tensors of the graph's float layers that have no scale of their own; an implicit
            INT8 build runs what touches them in float.
    """

    model: str
    source: str
    scales: Mapping[str, float]
    without: tuple[str, ...]

    def to_table(self) -> str:
        """Return the table for review: one tensor a line, in execution order."""
        lines = [f"# INT8 ranges of {self.model}: symmetric, zero-point 0, scale = range / 127"]
        lines.append(f"# {self.source}")
        lines += [f"# without a range: {name}" for name in self.without]
        lines.append(f"# {COLUMNS}")
        lines += [
            f"  {127 * scale:14.7g} {_shortest(scale):>16}  {_hex(scale)}  {name}"
            for name, scale in self.scales.items()
        ]
        return "\n".join(lines) + "\n"

    def to_cache(self, version: str = TENSORRT) -> str:
        """Return TensorRT's calibration cache for a release such as "8.6.1" or "10.7.0"."""
        lines = [f"TRT-{version_number(version)}-EntropyCalibration2"]
        lines += [f"{name}: {_hex(scale)}" for name, scale in self.scales.items()]
        return "\n".join(lines) + "\n"


def calibration_of(checkpoint: Checkpoint, name: str) -> Calibration:
    """Collect the scales of a quantized checkpoint by tensor of its FP32 graph.

    Tensors of the Q/DQ graph bring theirs. What a max pooling gives has its input's scale. What a
    convolution gives right before a ReLU gets the scale of the ReLU's result: only what the ReLU
    would drop lies outside.

    Raises:
        UsageError: the checkpoint has no scales.
        CheckpointError: the graph's scales are not the checkpoint's.
    """
    if not checkpoint.quantized:
        raise UsageError(f"{name} has no INT8 ranges; calibrate it first, with qat or --calibrate")
    module = module_from_checkpoint(checkpoint)
    int8, plain = (
        onnx.load_from_string(export_onnx(checkpoint.spec, module, precision))
        for precision in ("int8", "fp32")
    )
    direct = _quantized_tensors(int8.graph)
    held = {np.float32(float(layer.step())) for layer in quantizers_of(module).values()}
    if {np.float32(scale) for scale in direct.values()} != held:
        raise CheckpointError(
            f"the exported graph of {name} carries other scales than the checkpoint; please report"
        )
    known = dict(direct)
    for entry in int8.metadata_props:
        if entry.key == "edgeseg.residual_scales":
            for tensor, scale in json.loads(entry.value).items():
                known.setdefault(tensor, scale)
    scales: dict[str, float] = {}
    without = []
    for node in plain.graph.node:
        if node.op_type == "MaxPool" and node.input[0] in scales:
            known.setdefault(node.output[0], scales[node.input[0]])
        readers = [other for other in plain.graph.node if node.output[0] in other.input]
        if node.op_type == "Conv" and len(readers) == 1 and readers[0].op_type == "Relu":
            after = known.get(readers[0].output[0])
            if after is not None:
                known.setdefault(node.output[0], after)
        if node.output[0] in known:
            scales[node.output[0]] = known[node.output[0]]
        elif node.op_type in ("Conv", "Relu", "Add", "Concat", "Resize", "MaxPool"):
            without.append(node.output[0])
    lost = [tensor for tensor in direct if tensor not in scales]
    if lost:
        raise CheckpointError(
            f"the FP32 graph of {name} lacks tensors that the INT8 graph quantizes: "
            f"{', '.join(lost[:5])}; please report"
        )
    return Calibration(name, _source(checkpoint), scales, tuple(without))


def read_table(text: str) -> dict[str, float]:
    """Read the scales of to_table's text.

    Raises:
        UsageError: a line is malformed, or its three figures contradict each other.
    """
    scales: dict[str, float] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        words = line.split(maxsplit=3)
        try:
            largest, scale, digits, name = float(words[0]), float(words[1]), words[2], words[3]
            same = _hex(scale) == digits and abs(127 * scale - largest) <= 1e-6 * largest
        except (IndexError, ValueError, OverflowError):
            raise UsageError(
                f"calibration table, line {number}: expected range, scale, hex and tensor"
            ) from None
        if not same or not scale > 0 or name in scales:
            raise UsageError(
                f"calibration table, line {number}: range, scale and hex of {name!r} disagree, "
                "are not positive, or the tensor is there twice"
            )
        scales[name] = float(np.float32(scale))
    return scales


def read_cache(text: str) -> dict[str, float]:
    """Read the scales of a calibration cache.

    Raises:
        UsageError: the header or a line is malformed, or a scale is not positive.
    """
    lines = text.splitlines()
    if not lines or not re.fullmatch(r"TRT-\d+-EntropyCalibration2", lines[0]):
        raise UsageError(
            f"calibration cache: the first line is {lines[0] if lines else ''!r}, expected "
            "TRT-NUMBER-EntropyCalibration2"
        )
    scales: dict[str, float] = {}
    for number, line in enumerate(lines[1:], 2):
        match = re.fullmatch(r"(.+): ([0-9a-f]{8})", line)
        scale = struct.unpack("!f", bytes.fromhex(match[2]))[0] if match else 0.0
        if match is None or not 0 < scale < float("inf"):
            raise UsageError(
                f"calibration cache, line {number}: expected a tensor and a positive float32 in "
                f"8 hex digits, not {line!r}"
            )
        scales[match[1]] = scale
    return scales


def cross_check(calibration: Calibration, texts: Mapping[str, Mapping[str, float]]) -> None:
    """Compare what was read back with what the checkpoint holds, to the bit.

    Args:
        calibration: from the checkpoint.
        texts: scales that were read, by file name.

    Raises:
        CheckpointError: a tensor is missing, left over, or has another scale; all are counted.
    """
    wanted = {name: _hex(scale) for name, scale in calibration.scales.items()}
    for file, scales in texts.items():
        found = {name: _hex(scale) for name, scale in scales.items()}
        differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
        if differing:
            raise CheckpointError(
                f"{file} is not the calibration of {calibration.model}: {len(differing)} tensors "
                f"differ, first {differing[0]!r}; write it again with edgeseg export"
            )


def version_number(version: str) -> int:
    """Return NV_TENSORRT_VERSION: 8.6.1 is 8601, 10.7.0 is 100700.

    Raises:
        UsageError: the text is no version of TensorRT 7 to 10.
    """
    match = re.fullmatch(r"(\d+)\.(\d+)(?:\.(\d+))?", version)
    parts = [int(part or 0) for part in match.groups()] if match else [0]
    if not 7 <= parts[0] <= 10:
        raise UsageError(
            f"TensorRT version {version!r} is not MAJOR.MINOR.PATCH of 7 to 10; later releases "
            "read no calibration cache"
        )
    major, minor, patch = parts
    # Ten releases of a minor number were no longer enough from 10 on.
    return (
        major * 10000 + minor * 100 + patch if major >= 10 else (major * 1000 + minor * 100 + patch)
    )


def _quantized_tensors(graph: onnx.GraphProto) -> dict[str, float]:
    """Return the scale of each tensor that a QuantizeLinear reads, repeated pairs left out."""
    constants = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    behind = {n.output[0] for n in graph.node if n.op_type == "DequantizeLinear"}
    return {
        node.input[0]: float(constants[node.input[1]])
        for node in graph.node
        if node.op_type == "QuantizeLinear" and node.input[0] not in behind
    }


def _source(checkpoint: Checkpoint) -> str:
    (step,) = [step for step in checkpoint.steps if step.kind == "quantize"]
    options = QuantizeOptions.from_step(step.options)
    parts = [f"observer {options.observer}"]
    parts += [word for word in ("equalize", "bias_correct") if getattr(options, word)]
    parts += ["adaround"] if options.adaround else []
    parts += ["tuned by the network's output"] if options.tune_ranges else []
    parts += ["scales trained in QAT"] if options.learned_scales else []
    frames = step.metadata.get("calibration")
    if frames:
        parts.append(
            f"{frames['images']} images of {frames['data']}, list sha256 {frames['list_sha256']}"
        )
    return "; ".join(parts)


def _hex(scale: float) -> str:
    return struct.pack("!f", scale).hex()


def _shortest(scale: float) -> str:
    """The fewest digits that give the same float32 back."""
    return str(np.float32(scale))
