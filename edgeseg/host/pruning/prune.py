"""Structured pruning: choose the channels that go, and cut them out of every layer they touch."""

from __future__ import annotations

import copy
import dataclasses
import fnmatch
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from edgeseg.core.suggest import unknown
from edgeseg.errors import UsageError
from edgeseg.host.cost import Cost, count_cost
from edgeseg.host.pruning.cut import Removed, cut, widths_of, widths_table
from edgeseg.host.pruning.graph import find_units
from edgeseg.host.pruning.importance import score_units
from edgeseg.host.pruning.options import PruneOptions
from edgeseg.host.pruning.repair import refit_weights, write_refit
from edgeseg.host.pruning.units import Unit
from edgeseg.host.pruning.width_cost import WidthCost
from edgeseg.host.quantization.quantize import is_quantized
from edgeseg.host.training.crops import Batch

# A target is met to this step of the ratio; rounding of widths is coarser.
RATIO_STEP = 1e-3


def prune(
    module: nn.Module,
    size_hw: tuple[int, int],
    options: PruneOptions,
    batches: Iterable[Batch] = (),
    *,
    whole: Mapping[str, tuple[int, ...]] | None = None,
    ignore_index: int = 255,
    progress: Callable[[int], None] = lambda done: None,
) -> tuple[nn.Module, dict[str, Any]]:
    """Return a narrower copy of a float network.

    Args:
        module: the network; it is not changed.
        size_hw: input size that MACs are counted at.
        options: what to prune.
        batches: labelled images for an importance that needs them (see NEED_DATA) and for the
            repair; gone through once for each.
        whole: unit_widths of the network that ratios are shares of, for a later one of several
            rounds; by default of `module`.
        ignore_index: label that counts for nothing.
        progress: told the number of batches seen.

    Returns:
        The pruned network in evaluation mode, and metadata for the checkpoint's step: the widths
        of every layer and the cost before and after.

    Raises:
        UsageError: the network is quantized, a pattern matches nothing, a target is out of reach.
    """
    if is_quantized(module):
        raise UsageError(
            "prune: the network is quantized; its ranges and folded weights belong to the channels "
            "it has. Prune the float checkpoint, then quantize"
        )
    work = copy.deepcopy(module).eval()
    units = find_units(work)
    if not units:
        raise UsageError("prune: the network has no channels that can be taken out")
    scores = score_units(
        work,
        units,
        options.importance,
        batches,
        ignore_index=ignore_index,
        seed=options.seed,
        progress=progress,
    )
    removed = _Search(
        WidthCost(work, units, size_hw), scores, options, whole or unit_widths(work)
    ).removed()
    before = widths_of(work)
    cost_before = count_cost(work, size_hw)
    refit = (
        refit_weights(work, units, removed, batches, progress=progress) if options.repair else {}
    )
    cut(work, units, removed)
    write_refit(work, refit)
    work.zero_grad(set_to_none=True)
    return work.eval(), prune_metadata(work, before, cost_before, size_hw)


def unit_widths(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Return, for each unit by name, the channels of its segments."""
    return {unit.name: tuple(map(len, unit.segments)) for unit in find_units(module)}


def prune_metadata(
    module: nn.Module, before: Mapping[str, tuple[int, int]], cost: Cost, size_hw: tuple[int, int]
) -> dict[str, Any]:
    """Return what a prune step records: widths to replay, table to review, costs."""
    return {
        "widths": {name: list(width) for name, width in widths_of(module).items()},
        "table": widths_table(module, dict(before)).splitlines(),
        "size_hw": list(size_hw),
        "before": dataclasses.asdict(cost),
        "after": dataclasses.asdict(count_cost(module, size_hw)),
    }


class _Search:
    """Finds which channels go; prune() is its only user."""

    def __init__(
        self,
        cost: WidthCost,
        scores: Sequence[torch.Tensor],
        options: PruneOptions,
        whole: Mapping[str, tuple[int, ...]],
    ) -> None:
        self.cost, self.units, self.options, self.whole = cost, cost.units, options, whole
        self.fixed = fixed_ratios(self.units, options.layer_ratios)
        self.scores = {
            unit.name: of_unit.tolist() for unit, of_unit in zip(self.units, scores, strict=True)
        }
        # Every channel that a threshold may take, the least important first.
        self.ranked = sorted(
            (score, unit.name, channel)
            for unit in self.units
            if unit.name not in self.fixed
            for channel, score in enumerate(self.scores[unit.name])
        )

    def removed(self) -> Removed:
        """Return the channels that go, at the given ratio or at the least one that meets."""
        options = self.options
        if not (options.target_macs or options.target_params):
            return self.at(options.ratio)
        dense = self.cost.at({})
        limits = Cost(
            absolute(options.target_params, dense.params),
            absolute(options.target_macs, dense.macs),
        )
        too_much, enough = 0.0, 1.0
        least = self.cost.at(self.at(enough))
        if not _within(least, limits):
            raise UsageError(
                f"prune: the target is {_words(limits)}; with max_ratio {options.max_ratio} and "
                f"widths in steps of {options.round_to} the least is {_words(least)}"
            )
        if _within(self.cost.at(self.at(too_much)), limits):
            return self.at(too_much)
        while enough - too_much > RATIO_STEP:
            middle = (too_much + enough) / 2
            if _within(self.cost.at(self.at(middle)), limits):
                enough = middle
            else:
                too_much = middle
        return self._given_back(self.at(enough), self.at(too_much), limits)

    def _given_back(self, removed: Removed, fewer: Removed, limits: Cost) -> Removed:
        """Undo the last step of those units for which there is room, the most important first.

        Widths move in steps of round_to, and layers of one width move together.
        """

        def gain(name: str) -> float:
            back = removed[name] - fewer[name]
            return sum(self.scores[name][channel] for channel in back) / len(back)

        for name in sorted((n for n in removed if removed[n] > fewer[n]), key=gain, reverse=True):
            trial = {**removed, name: fewer[name]}
            if _within(self.cost.at(trial), limits):
                removed = trial
        return removed

    def at(self, ratio: float) -> Removed:
        """Return the channels that go at one ratio of the whole network's."""
        ranked = sum(sum(self.whole[u.name]) for u in self.units if u.name not in self.fixed)
        lowest = self.ranked[: max(0, int(ratio * ranked) - (ranked - len(self.ranked)))]
        taken = Counter(name for _, name, _ in lowest)
        removed: dict[str, frozenset[int]] = {}
        for unit in self.units:
            share = self.fixed.get(unit.name, ratio)
            if unit.name in self.fixed and share == 0:
                # The user fixed this unit at ratio 0: do not round its width.
                removed[unit.name] = frozenset()
                continue
            if self.options.scope == "global" and unit.name not in self.fixed:
                share = 1 - (unit.width - taken[unit.name]) / sum(self.whole[unit.name])
            gone: set[int] = set()
            for segment, width in zip(unit.segments, self.whole[unit.name], strict=True):
                ranks = sorted(segment, key=self.scores[unit.name].__getitem__)
                gone |= set(ranks[: len(segment) - self._kept(len(segment), width, share)])
            removed[unit.name] = frozenset(gone)
        return removed

    def _kept(self, width: int, whole: int, ratio: float) -> int:
        """Return how many of `width` channels stay: a multiple of round_to where it fits.

        Args:
            width: channels there are.
            whole: channels there were before the first round, which `ratio` is a share of.
            ratio: share of them that goes.
        """
        step, most = self.options.round_to, self.options.max_ratio
        rounded = width // step * step
        least = round(whole * (1 - most))
        if rounded < max(step, least):
            return width
        kept = round(whole * (1 - min(ratio, most)) / step) * step
        return min(max(kept, -(-least // step) * step, step), rounded)


def fixed_ratios(units: Sequence[Unit], patterns: Mapping[str, float]) -> dict[str, float]:
    """Return the ratio of each unit whose convolutions match a name or pattern (*, ?).

    Raises:
        UsageError: a pattern matches nothing.
    """
    fixed: dict[str, float] = {}
    for pattern, ratio in patterns.items():
        hit = [u.name for u in units if fnmatch.filter(u.producers, pattern)]
        if not hit:
            known = [name for unit in units for name in unit.producers]
            raise UsageError(unknown("layer", pattern, known))
        fixed |= {name: ratio for name in hit}
    return fixed


def absolute(target: float, dense: int) -> int:
    """Return a target as a count: a share of `dense` up to 1, itself above, `dense` for 0."""
    if target == 0:
        return dense
    return round(target * dense) if target <= 1 else round(target)


def _words(cost: Cost) -> str:
    return f"{cost.macs / 1e6:.1f}M MACs and {cost.params / 1e6:.3f}M parameters"


def _within(cost: Cost, limits: Cost) -> bool:
    return cost.macs <= limits.macs and cost.params <= limits.params
