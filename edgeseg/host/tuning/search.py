"""Searches how much to prune each region of a network to meet a cost at the best score.

A trial is a shape: how much each region of the network is pruned relative to the others, and which
regions stay in float. How far that shape is pruned is not searched but solved for: the cost is
measured at a few amounts until it lies within TOLERANCE under the target. Then the candidate is
trained for a few epochs and scored. So every trial costs one short training, and all of them
compete at the same cost.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from edgeseg.core.metrics.front import unbeaten
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.fx.tracing import head_of
from edgeseg.host.pruning.graph import find_units
from edgeseg.host.pruning.prune import fixed_ratios
from edgeseg.host.tuning.study import WORKER, asked_before, finished, revive, worker

TOLERANCE = 0.1
# Costs asked for one shape: each may be an export and a timing.
ASKED = 6
LEAST_WEIGHT = 0.2


@dataclasses.dataclass(frozen=True)
class Shape:
    """One point of the search.

    Attributes:
        weights: relative pruning of each region; the largest is 1.
        floats: regions whose convolutions are not quantized.
    """

    weights: Mapping[str, float]
    floats: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A shape pruned as far as the target asks.

    Attributes:
        ratios: prune ratio of every unit by name.
        keep_float: convolutions that are not quantized.
        cost: what it costs.
    """

    ratios: Mapping[str, float]
    keep_float: tuple[str, ...]
    cost: float


class Space:
    """The regions of one network and what a shape means in it."""

    def __init__(
        self, start: Checkpoint, *, max_ratio: float, floats: bool, keep: Sequence[str] = ()
    ) -> None:
        """Find the units of the checkpoint's network.

        Args:
            start: a float checkpoint.
            max_ratio: the most any unit may lose.
            floats: whether regions may stay in float.
            keep: units whose convolutions match one of these names or patterns stay as they are.

        Raises:
            UsageError: a pattern matches nothing, or nothing is left to prune.
        """
        module = module_from_checkpoint(start)
        units = find_units(module)
        self.kept = tuple(fixed_ratios(units, dict.fromkeys(keep, 0.0)))
        self.units = {u.name: region_of(u.name) for u in units if u.name not in self.kept}
        if not self.units:
            raise UsageError("tune: the network has no channels that can be taken out")
        self.regions = tuple(dict.fromkeys(self.units.values()))
        self.max_ratio, self.floats = max_ratio, floats
        head = head_of(module)
        self.convs = [
            name
            for name, layer in module.named_modules()
            if type(layer).__name__ in ("Conv2d", "ConvTranspose2d") and name != head
        ]

    def ask(self, trial: Trial) -> Shape:
        """Let the study choose a shape."""
        raw = {r: trial.suggest_float(f"prune {r}", LEAST_WEIGHT, 1.0) for r in self.regions}
        floats = (
            tuple(r for r in self.regions if trial.suggest_categorical(f"float {r}", [False, True]))
            if self.floats
            else ()
        )
        return self.shape(raw, floats)

    def shape(self, raw: Mapping[str, float], floats: tuple[str, ...]) -> Shape:
        """Scale weights so that the largest is 1."""
        most = max(raw.values())
        return Shape({region: weight / most for region, weight in raw.items()}, floats)

    def plain(self) -> dict[str, Any]:
        """Return the parameters of the first trial: everything alike, nothing in float."""
        fixed: dict[str, Any] = {f"prune {region}": 1.0 for region in self.regions}
        if self.floats:
            fixed |= {f"float {region}": False for region in self.regions}
        return fixed

    def ratios(self, shape: Shape, amount: float) -> dict[str, float]:
        """Return the ratio of every unit where the most pruned region loses `amount`."""
        ratios = dict.fromkeys(self.kept, 0.0)
        for unit, region in self.units.items():
            ratios[unit] = min(self.max_ratio, round(amount * shape.weights[region], 4))
        return ratios

    def keep_float(self, shape: Shape) -> tuple[str, ...]:
        """Return the convolutions of the regions in float."""
        return tuple(name for name in self.convs if region_of(name) in shape.floats)


def region_of(layer: str) -> str:
    """Return the region of a layer: the first two parts of its name."""
    return ".".join(layer.split(".")[:2])


def solve(
    cost: Callable[[float], float], dense: float, target: float, most: float
) -> tuple[float, float] | None:
    """Find the amount whose cost lies within TOLERANCE under a target, or the nearest below it.

    Cost falls with the amount, but as a staircase and, where it is measured, with noise; so this
    brackets and interpolates, and asks at most ASKED times.

    Args:
        cost: of an amount, 0 to `most`.
        dense: cost at amount 0, above the target.
        target: the most it may cost.
        most: largest amount.

    Returns:
        Amount and cost, or None where nothing asked met the target.
    """
    low, low_cost = 0.0, dense
    high, high_cost = most, None
    best = None
    # For convolutions in a row cost falls with the square of the widths.
    amount = min(most, 1 - (target / dense) ** 0.5)
    for _ in range(ASKED):
        here = cost(amount)
        if here <= target:
            if best is None or here > best[1]:
                best = (amount, here)
            if here >= (1 - TOLERANCE / 2) * target:
                break
            high, high_cost = amount, here
        else:
            if amount >= most:
                break
            low, low_cost = amount, here
        goal = (1 - TOLERANCE / 4) * target
        if high_cost is None:
            step = (low_cost - goal) / max(low_cost, 1e-12)
            amount = min(most, low + max(step * (1 - low), 0.02))
        elif low_cost > high_cost:
            share = (low_cost - goal) / (low_cost - high_cost)
            amount = low + (high - low) * min(0.9, max(0.1, share))
        else:
            amount = (low + high) / 2
        if high - low < 1e-3:
            break
    return best


def run_trials(
    study: optuna.Study,
    space: Space,
    trials: int,
    *,
    costs: Callable[[Mapping[str, float], tuple[str, ...]], float],
    score: Callable[[int, Candidate], float],
    dense: float,
    target: float,
    told: Callable[[FrozenTrial], None] = lambda trial: None,
) -> None:
    """Run trials until the study has `trials` ended ones, whoever ran them.

    Args:
        study: where they are kept. What a killed process of this machine had begun is tried
            again; what another process has asked already is not asked twice.
        space: what is searched.
        trials: how many in all.
        costs: cost of unit ratios and float layers.
        score: trains and scores a candidate of a trial's number; larger is better.
        dense: cost of the network as it is.
        target: the most a candidate may cost.
        told: called after each trial.
    """
    revive(study)
    if not study.get_trials(deepcopy=False):
        study.enqueue_trial(space.plain())
    while len(finished(study)) < trials:
        trial = study.ask()
        trial.set_user_attr(WORKER, worker())
        shape = space.ask(trial)
        if asked_before(study, trial):
            study.tell(trial, state=TrialState.FAIL)
            study.sampler.reseed_rng()
            continue
        floats = space.keep_float(shape)
        found = solve(_along(space, shape, floats, costs), dense, target, space.max_ratio)
        if found is None:
            study.tell(trial, state=TrialState.PRUNED)
        else:
            amount, cost = found
            candidate = Candidate(space.ratios(shape, amount), floats, cost)
            trial.set_user_attr("candidate", dataclasses.asdict(candidate))
            study.tell(trial, score(trial.number, candidate))
        told(study.get_trials(deepcopy=False)[trial.number])


def _along(
    space: Space,
    shape: Shape,
    floats: tuple[str, ...],
    costs: Callable[[Mapping[str, float], tuple[str, ...]], float],
) -> Callable[[float], float]:
    def cost(amount: float) -> float:
        return costs(space.ratios(shape, amount), floats)

    return cost


def candidate_of(trial: FrozenTrial) -> Candidate:
    """Return what a completed trial tried."""
    held = trial.user_attrs["candidate"]
    return Candidate(held["ratios"], tuple(held["keep_float"]), held["cost"])


def pareto(points: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of (cost, score) points that no other beats on both."""
    return unbeaten(points, lambda one, other: (other[0] - one[0], one[1] - other[1]))
