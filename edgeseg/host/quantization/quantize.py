"""Quantizes a network: folds its batch norms, places Q/DQ pairs, calibrates their ranges."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import fx, nn

from edgeseg import __version__
from edgeseg.core.recipe import StepDone
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.fx.fold_batch_norm import fold_batch_norms
from edgeseg.host.fx.tracing import trace
from edgeseg.host.quantization.equalize import equalize
from edgeseg.host.quantization.fake_quant.layers import (
    ActivationQuantizer,
    QuantConv2d,
    QuantConvTranspose2d,
    ResidualObserver,
    learn_scales,
)
from edgeseg.host.quantization.observers import OBSERVERS
from edgeseg.host.quantization.observers.moving_average import EmaObserver

# Named here too, for those who quantize.
from edgeseg.host.quantization.options import QuantizeOptions as QuantizeOptions
from edgeseg.host.quantization.qdq_placement import QUANTIZERS, Plan, apply_plan, plan
from edgeseg.host.quantization.refine import refine
from edgeseg.host.quantization.tune_ranges import tune_ranges

# Batches that refinements hold in memory, spread over all that are given.
REFINE_BATCHES = 16


def quantize(
    module: nn.Module,
    options: QuantizeOptions,
    batches: Iterable[torch.Tensor],
    *,
    progress: Callable[[int], None] = lambda done: None,
    refining: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[fx.GraphModule, dict[str, Any]]:
    """Fold batch norms, place fake-quantizers and calibrate their ranges.

    Args:
        module: a float network; it is not changed.
        options: how to choose ranges.
        batches: normalized float inputs N,3,H,W, streamed once.
        progress: told the number of batches seen.
        refining: told how many ranges or convolutions a refinement has done, and of how many.

    Returns:
        The fake-quantized network in evaluation mode, and metadata for the checkpoint's step.

    Raises:
        UsageError: `batches` is empty, a value is not finite, or `keep_float` is wrong.
    """
    quantized, decided = _build(module, options, even_out=options.equalize)
    quantized.eval()
    new_observer = OBSERVERS.load(options.observer)
    for layer in _quantizers(quantized):
        layer.observer = new_observer(options.percentile)
    set_observing(quantized, True)
    set_quantizing(quantized, False)
    count = 0
    refines = options.bias_correct or bool(options.adaround)
    kept = _Spread(REFINE_BATCHES if refines or options.tune_ranges else 0)
    with torch.no_grad():
        for batch in batches:
            quantized(batch)
            kept.add(batch)
            count += 1
            progress(count)
    if count == 0:
        raise UsageError(
            "calibration got no images; give a data set of real frames (--calibrate DATA)"
        )
    for layer in _quantizers(quantized):
        if layer.observer is not None:
            layer.set_amax(layer.observer.amax())
            layer.observer = None
    set_observing(quantized, False)
    set_quantizing(quantized, True)
    tuned: dict[str, Any] = {}
    if options.tune_ranges:
        tuned = tune_ranges(
            quantized,
            quantizers_of(quantized),
            kept.items[::2],
            switch=set_quantizing,
            progress=refining,
        )
    refined = {}
    if refines:
        refined = refine(
            quantized,
            kept.items,
            bias_correct=options.bias_correct,
            adaround_iterations=options.adaround,
            progress=refining,
        )
    if options.learned_scales:
        learn_scales(quantized)
    metadata: dict[str, Any] = {
        "batches": count,
        "plan": decided.to_text().splitlines(),
        "scales": {name: float(layer.step()) for name, layer in quantizers_of(quantized).items()},
    }
    if refined:
        metadata["refined"] = refined
    if tuned:
        metadata["tuned_ranges"] = tuned
    return quantized, metadata


def folded(module: nn.Module, *, even_out: bool) -> fx.GraphModule:
    """Return the float network that quantize places its quantizers in; `module` is not changed.

    Args:
        module: a float network.
        even_out: equalize it too: the same answers from other channels.
    """
    graph_module = trace(copy.deepcopy(module).eval())
    fold_batch_norms(graph_module)
    if even_out:
        equalize(graph_module)
    return graph_module


def replay(module: nn.Module, step: StepDone) -> fx.GraphModule:
    """Rebuild the network that `quantize` made, without data; a state dict brings the scales.

    Raises:
        CheckpointError: today's placement rules give another structure than the step recorded, or
            the step has an option of a later version.
    """
    known = {field.name for field in dataclasses.fields(QuantizeOptions)}
    later = sorted(set(step.options) - known)
    if later:
        raise CheckpointError(
            f"the checkpoint was quantized with the option {later[0]!r}, which edgeseg "
            f"{__version__} does not know; use the edgeseg that wrote it, or a later one"
        )
    options = QuantizeOptions.from_step(step.options)
    quantized, decided = _build(module, options)
    recorded = step.metadata.get("plan")
    if recorded is not None and list(recorded) != decided.to_text().splitlines():
        raise CheckpointError(
            "this edgeseg places Q/DQ otherwise than the one that wrote the checkpoint; "
            "quantize the float checkpoint again"
        )
    if options.learned_scales:
        learn_scales(quantized)
    return quantized


def quantizers_of(module: nn.Module) -> dict[str, ActivationQuantizer]:
    """Return the activation quantizers by scale group; empty for a float network."""
    held = getattr(module, QUANTIZERS, None)
    if not isinstance(held, nn.ModuleDict):
        return {}
    return {k: layer for k, layer in held.items() if isinstance(layer, ActivationQuantizer)}


def is_quantized(module: nn.Module) -> bool:
    """Tell whether `quantize` or `replay` made this network."""
    return bool(quantizers_of(module))


def set_observing(module: nn.Module, observing: bool) -> None:
    """Let inputs move the ranges, or freeze them.

    A quantizer without an observer of its own (after calibration) gets a moving average that
    starts at its calibrated range.
    """
    for layer in _quantizers(module):
        layer.observing = observing
        if observing and layer.observer is None:
            layer.observer = EmaObserver(float(layer.step()) * 127)


def set_quantizing(module: nn.Module, quantizing: bool) -> None:
    """Switch the effect of all fake-quantizers, of activations and weights, on or off."""
    for layer in module.modules():
        if not isinstance(layer, ResidualObserver) and isinstance(
            layer, (ActivationQuantizer, QuantConv2d, QuantConvTranspose2d)
        ):
            layer.quantizing = quantizing


def _quantizers(module: nn.Module) -> Iterator[ActivationQuantizer]:
    return (layer for layer in module.modules() if isinstance(layer, ActivationQuantizer))


def _build(
    module: nn.Module, options: QuantizeOptions, *, even_out: bool = False
) -> tuple[fx.GraphModule, Plan]:
    if is_quantized(module):
        raise UsageError("the network is quantized already; quantize its float checkpoint")
    training = module.training
    graph_module = folded(module, even_out=even_out)
    decided = plan(graph_module, options.keep_float)
    apply_plan(graph_module, decided)
    graph_module.train(training)
    return graph_module, decided


class _Spread:
    """At most `limit` of the things added, evenly spread over them, however many there will be."""

    def __init__(self, limit: int) -> None:
        self.items: list[torch.Tensor] = []
        self._limit, self._stride, self._seen = limit, 1, 0

    def add(self, item: torch.Tensor) -> None:
        if self._limit and self._seen % self._stride == 0:
            if len(self.items) == self._limit:
                self.items = self.items[::2]
                self._stride *= 2
            if self._seen % self._stride == 0:
                self.items.append(item)
        self._seen += 1
