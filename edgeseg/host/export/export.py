"""Writes a bundle: one ONNX graph from frame to labels, and a golden pair that proves it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import nn

from edgeseg.core.bundle import Bundle, write_bundle
from edgeseg.core.graph.constants import constant_problems
from edgeseg.core.graph.fp16_islands import with_fp16_islands
from edgeseg.core.graph.unpool_plugin import plugin_form
from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import PRECISIONS, ModelSpec
from edgeseg.errors import ExportError, UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.export import graph_passes
from edgeseg.host.export.golden import check_graph, golden_frame, golden_pair
from edgeseg.host.export.onnxsim import simplify
from edgeseg.host.export.unpool import lower_unpooling
from edgeseg.host.fx.fold_batch_norm import fold_batch_norms
from edgeseg.host.fx.tracing import trace
from edgeseg.host.models.label_net import LabelNet, Normalize
from edgeseg.host.quantization.fake_quant.layers import ResidualObserver, freeze_scales
from edgeseg.host.quantization.quantize import (
    QuantizeOptions,
    is_quantized,
    quantize,
    set_quantizing,
)

# TensorRT 8.6 reads opsets to 17 in full and most of 18; 18 is also the exporter's native one.
OPSET = 18
# Below this FP16 loses digits, so that values of a step this small are no longer told apart.
SMALLEST_HALF = 2.0**-14


@dataclasses.dataclass(frozen=True)
class ExportOptions:
    """How a checkpoint becomes a bundle.

    Attributes:
        raw_logits: give the full-size logits as a second output, for parity work.
        simplify: run onnxsim and check its result.
        plugin: write un-pooling as operators of deploy/plugin, which TensorRT alone can run.
        quantize: observer and exceptions for a post-training calibration.
        name: the bundle's name; empty takes the folder's.
        islands: let an INT8 bundle carry its form with FP16 islands too, at twice the size.
    """

    raw_logits: bool = False
    simplify: bool = False
    plugin: bool = False
    quantize: QuantizeOptions = dataclasses.field(default_factory=QuantizeOptions)
    name: str = ""
    islands: bool = True


class GlobalMean(nn.Module):
    """AdaptiveAvgPool2d(1) in the form that exports to one node."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map N,C,H,W to N,C,1,1."""
        return x.mean((2, 3), keepdim=True)


class HalfBody(nn.Module):
    """A network in FP16 between FP32 borders: normalization before it, resize and argmax after."""

    def __init__(self, body: nn.Module) -> None:
        """Copy `body` in FP16."""
        super().__init__()
        self.body = copy.deepcopy(body).half()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map float32 N,3,H,W to float32 logits."""
        logits: torch.Tensor = self.body(x.half())
        return logits.float()


def deployed(
    spec: ModelSpec, module: nn.Module, precision: str, *, raw_logits: bool = False
) -> LabelNet:
    """Return the computation that is exported: folded, un-pooling lowered, borders added.

    Args:
        spec: what the network is.
        module: a float network, or a fake-quantized one. For "fp16" and "fp32" the latter's
            quantizers are switched off: its weights in float.
        precision: "int8", "fp16" or "fp32".
        raw_logits: return the logits as well.

    Raises:
        UsageError: `precision` is unknown, or "int8" is asked of a float network.
    """
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
    if precision == "int8" and not is_quantized(module):
        raise UsageError("an int8 export needs a quantized network; calibrate it first")
    body = copy.deepcopy(module).eval()
    if is_quantized(body):
        set_quantizing(body, precision == "int8")
        freeze_scales(body)
    else:
        folded = trace(body)
        fold_batch_norms(folded)
        body = folded
    body = lower_unpooling(body)
    for owner in list(body.modules()):
        for name, layer in list(owner.named_children()):
            if isinstance(layer, nn.AdaptiveAvgPool2d) and layer.output_size in (1, (1, 1)):
                setattr(owner, name, GlobalMean())
    if precision == "fp16":
        body = HalfBody(body)
    return LabelNet(spec, body, raw_logits=raw_logits).eval()


def export_onnx(
    spec: ModelSpec,
    module: nn.Module,
    precision: str,
    *,
    raw_logits: bool = False,
    simplified: bool = False,
) -> bytes:
    """Export a network to one checked ONNX file.

    Args:
        spec: what the network is; its size_hw becomes the fixed input size, batch 1.
        module: a float network, or for "int8" one that `quantize` or `replay` made.
        precision: "int8", "fp16" or "fp32".
        raw_logits: add the output "logits".
        simplified: run onnxsim over the graph.

    Returns:
        The file's bytes: input "frame" uint8 1,H,W,3; output "labels" uint8 1,H,W.

    Raises:
        UsageError: precision and network do not fit each other.
        ExportError: the exporter failed, or its graph is not valid.
    """
    net = deployed(spec, module, precision, raw_logits=raw_logits)
    if precision == "int8":
        for layer in net.modules():
            if isinstance(layer, ResidualObserver):
                layer.quantizing = True
    frame = golden_frame(spec)
    model = _exported(net, frame, ["labels", "logits"] if raw_logits else ["labels"])
    if simplified:
        model = simplify(model, frame)
    scales = graph_passes.tidy(model)
    graph_passes.set_metadata(
        model,
        {
            "edgeseg.arch": spec.arch,
            "edgeseg.precision": precision,
            "edgeseg.spec": json.dumps(spec.to_json()),
            **graph_passes.residual_entry(scales),
        },
    )
    check_finite(spec, precision, model)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise ExportError(
            f"the exported graph of {spec.arch} is not valid ONNX: {error}"
        ) from error
    return model.SerializeToString()


def check_finite(spec: ModelSpec, precision: str, model: onnx.ModelProto) -> None:
    """Refuse a graph with constants that no computation should have.

    Raises:
        ExportError: a weight or range is NaN or infinite, or a scale is not above 0.
    """
    problems = constant_problems(model.graph)
    if not problems:
        return
    advice = (
        "FP16 ends at 65504; export it with --int8 or --fp32"
        if precision == "fp16"
        else "the network cannot give right labels; train again, or give an earlier checkpoint"
    )
    raise ExportError(
        f"the {precision} graph of {spec.arch} has {len(problems)} impossible constants, first "
        f"{problems[0]}; {advice}"
    )


def bundle_from_checkpoint(
    checkpoint: Checkpoint,
    precision: str,
    out_dir: Path,
    *,
    calibration: Iterable[np.ndarray] | None = None,
    options: ExportOptions = ExportOptions(),
    reference: Mapping[str, Any] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Bundle:
    """Export a checkpoint to a bundle folder with a golden pair.

    An INT8 export takes the scales of the checkpoint's quantize step if there is one; otherwise it
    calibrates on `calibration`, and never on anything else.

    Args:
        checkpoint: what to export.
        precision: "int8", "fp16" or "fp32".
        out_dir: the bundle's folder; it appears complete or not at all.
        calibration: RGB frames uint8 h,w,3 at the model's size; read only if needed.
        options: further choices.
        reference: scores for the manifest, by default the checkpoint's own.
        progress: told the number of calibration frames seen.

    Raises:
        UsageError: an INT8 export has no scales and no calibration frames.
        ExportError: the graph is not valid, or its labels are not torch's.
    """
    spec = checkpoint.spec
    if precision == "int8" and not checkpoint.quantized and calibration is None:
        raise UsageError(
            "the checkpoint has no INT8 scales; give real frames with --calibrate DATA "
            "(such as --calibrate synthetic), or train the scales with edgeseg qat"
        )
    module = module_from_checkpoint(checkpoint)
    steps = list(checkpoint.steps)
    if precision == "int8" and not checkpoint.quantized:
        module, metadata = quantize(
            module, options.quantize, _normalized(spec, calibration or ()), progress=progress
        )
        steps.append(StepDone("quantize", options.quantize.to_step(), metadata))
    return bundle_from_module(
        spec,
        module,
        precision,
        out_dir,
        steps=steps,
        options=options,
        reference=checkpoint.scores if reference is None else reference,
    )


def bundle_from_module(
    spec: ModelSpec,
    module: nn.Module,
    precision: str,
    out_dir: Path,
    *,
    steps: Iterable[StepDone],
    options: ExportOptions,
    reference: Mapping[str, Any],
) -> Bundle:
    """Export a network to a bundle folder with a golden pair.

    Args:
        spec: what the network is.
        module: a float network, or for "int8" a fake-quantized one.
        precision: "int8", "fp16" or "fp32".
        out_dir: the bundle's folder; it appears complete or not at all.
        steps: what was done to the network.
        options: further choices.
        reference: figures for the manifest.

    Raises:
        ExportError: the graph is not valid, or its labels are not torch's.
    """
    data = export_onnx(
        spec, module, precision, raw_logits=options.raw_logits, simplified=options.simplify
    )
    net = deployed(spec, module, precision)
    golden = golden_pair(spec, net)
    check_graph(data, golden, net, precision)
    islands = _islands(data) if precision == "int8" and options.islands else None
    if islands is not None:
        check_graph(islands, golden, net, precision, half=True)
    if options.plugin:
        # After the checks, which no CPU runtime could make on the plugin's operators.
        data = plugin_form(data)
        islands = None if islands is None else plugin_form(islands)
    return write_bundle(
        out_dir,
        data,
        golden,
        name=options.name or out_dir.name,
        spec=spec,
        precision=precision,
        opset=OPSET,
        steps=[step.to_json() for step in steps],
        reference=reference,
        islands=islands,
    )


def _islands(data: bytes) -> bytes | None:
    """Return the form with FP16 islands, None where constants or steps do not fit FP16.

    Such a bundle still serves TensorRT up to 10, and 11 with FP32 islands; `lint` says so.
    """
    model = onnx.load_from_string(data)
    scales = {node.input[1] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    steps = [numpy_helper.to_array(t) for t in model.graph.initializer if t.name in scales]
    if any(float(step.min()) < SMALLEST_HALF for step in steps):
        return None
    try:
        return with_fp16_islands(model).SerializeToString()
    except ExportError:
        return None


def _exported(net: LabelNet, frame: np.ndarray, outputs: list[str]) -> onnx.ModelProto:
    with _quiet():
        try:
            program = torch.onnx.export(
                net,
                (torch.from_numpy(frame),),
                dynamo=True,
                opset_version=OPSET,
                input_names=["frame"],
                output_names=outputs,
                verbose=False,
            )
        except Exception as error:
            # The exporter wraps whatever went wrong in classes of its own private modules.
            summary = str(error).strip().splitlines()[0]
            raise ExportError(f"torch could not export the network: {summary}") from error
    if program is None:
        raise ExportError("torch gave no ONNX program")
    return program.model_proto


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the exporter's notes on absent packages and its own deprecations."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _normalized(spec: ModelSpec, frames: Iterable[np.ndarray]) -> Iterator[torch.Tensor]:
    normalize = Normalize(spec.preprocess)
    for frame in frames:
        if frame.shape != (*spec.size_hw, 3) or frame.dtype != np.uint8:
            raise UsageError(
                f"a calibration frame is {frame.dtype} {frame.shape}, expected uint8 "
                f"{(*spec.size_hw, 3)}; resize it as the model's frames are"
            )
        yield normalize(torch.from_numpy(np.ascontiguousarray(frame))[None])
