"""Moves the ranges of a calibrated network until its output is nearest to the float network's.

An observer chooses each range from its own tensor. What a clipped or a coarse value costs in the
end is not seen there: a layer may hold its outliers for nothing. Here each range is tried wider and
narrower, one after the other, and kept where the class probabilities move less.

Source: a coordinate search over steps by the output's error, as in Nahshan et al. 2019 (LAPQ,
arXiv 1911.07190), with the divergence of Migacz 2017 in place of the loss.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from edgeseg.host.quantization.fake_quant.layers import ActivationQuantizer
from edgeseg.host.quantization.fake_quant.rounding import INT8_MAX

# Factors in the order of trial, narrower and wider; a direction ends at the first that is worse.
SWEEPS = (
    ((0.8, 0.65, 0.5, 0.4), (1.25, 1.6, 2.0, 2.6)),
    ((0.92, 0.84, 0.77), (1.09, 1.18, 1.29)),
)


@torch.no_grad()
def tune_ranges(
    module: nn.Module,
    quantizers: dict[str, ActivationQuantizer],
    batches: Sequence[torch.Tensor],
    *,
    switch: Callable[[nn.Module, bool], None],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Any]:
    """Move ranges in place.

    Args:
        module: a calibrated fake-quantized network, from N,3,H,W to logits N,K,h,w.
        quantizers: its activation quantizers by scale group.
        batches: normalized inputs; each trial runs all of them.
        switch: turns all fake-quantizers of a module on or off.
        progress: told the ranges tried, and of how many.

    Returns:
        "divergence": mean per pixel in nats, before and after; "factors": what a range was
        multiplied by, for those that moved.
    """
    switch(module, False)
    wanted = [functional.log_softmax(module(batch), 1) for batch in batches]
    switch(module, True)

    def divergence() -> float:
        total = 0.0
        for batch, target in zip(batches, wanted, strict=True):
            found = functional.log_softmax(module(batch), 1)
            total += float((target.exp() * (target - found)).sum(1).mean())
        return total / len(batches)

    before = best = divergence()
    first = {name: _amax(layer) for name, layer in quantizers.items()}
    done = 0
    for directions in SWEEPS:
        for layer in quantizers.values():
            best = _moved(layer, directions, best, divergence)
            done += 1
            progress(done, len(SWEEPS) * len(quantizers))
    factors = {name: round(_amax(layer) / first[name], 4) for name, layer in quantizers.items()}
    return {
        "divergence": [before, best],
        "factors": {name: factor for name, factor in factors.items() if factor != 1},
    }


def _moved(
    layer: ActivationQuantizer,
    directions: Sequence[Sequence[float]],
    best: float,
    divergence: Callable[[], float],
) -> float:
    """Set one range to the best that was tried; return its divergence."""
    start = kept = _amax(layer)
    for factors in directions:
        for factor in factors:
            layer.set_amax(start * factor)
            found = divergence()
            if found >= best:
                break
            best, kept = found, start * factor
        if kept != start:
            break
    layer.set_amax(kept)
    return best


def _amax(layer: ActivationQuantizer) -> float:
    return float(layer.step()) * INT8_MAX
