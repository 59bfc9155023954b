"""Every entry of MODELS can be pruned, and pruning takes out exactly what masking would silence."""

import copy

import pytest
import torch
from small_models import small
from torch import nn

from edgeseg.core.recipe import StepDone
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.cost import Cost, count_cost
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.pruning.cut import cut, is_depthwise
from edgeseg.host.pruning.graph import find_units
from edgeseg.host.pruning.options import PruneOptions
from edgeseg.host.pruning.prune import prune
from edgeseg.host.pruning.units import Unit
from edgeseg.host.pruning.width_cost import WidthCost

SIZE_HW = (64, 96)


def lively(arch: str) -> nn.Module:
    """A network whose batch norms and biases are no identities, in double precision."""
    torch.manual_seed(0)
    module = build_model(small(arch))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.uniform_(layer.bias, -0.5, 0.5)
            nn.init.uniform_(layer.running_mean, -0.2, 0.2)
            nn.init.uniform_(layer.running_var, 0.5, 1.5)
        elif isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)) and layer.bias is not None:
            nn.init.uniform_(layer.bias, -0.2, 0.2)
    return module.double().eval()


def random_removal(units: list[Unit]) -> dict[str, frozenset[int]]:
    """About a third of every unit's channels, at least one and never all."""
    removed = {}
    for unit in units:
        order = torch.randperm(unit.width).tolist()
        removed[unit.name] = frozenset(order[: min(unit.width - 1, max(1, unit.width // 3))])
    return removed


def masked(module: nn.Module, units: list[Unit], removed: dict[str, frozenset[int]]) -> nn.Module:
    """The dense network with the removed channels silent: zero weights, biases and BN output."""
    module = copy.deepcopy(module)
    with torch.no_grad():
        for unit in units:
            for member in unit.members:
                if not member.gives:
                    continue
                own = [at for channel, at in member.channels if channel in removed[unit.name]]
                layer = module.get_submodule(member.layer)
                transposed = isinstance(layer, nn.ConvTranspose2d) and not is_depthwise(layer)
                for tensor in layer.parameters():
                    tensor.data[(slice(None), own) if transposed and tensor.ndim > 1 else own] = 0
    return module


@pytest.mark.parametrize("arch", MODELS)
def test_pruned_equals_masked(arch):
    dense = lively(arch)
    work = copy.deepcopy(dense)
    units = find_units(work.float())
    work.double()
    removed = random_removal(units)
    expected = masked(dense, units, removed)
    cut(work, units, removed)
    x = torch.randn(2, 3, 45, 61, dtype=torch.float64)
    with torch.no_grad():
        pruned, silent, full = work(x), expected(x), dense(x)
    assert not torch.allclose(pruned, full, rtol=0.01, atol=0.01)
    torch.testing.assert_close(pruned, silent, rtol=1e-5, atol=1e-5)
    assert work.classifier.out_channels == dense.classifier.out_channels


@pytest.mark.parametrize("arch", MODELS)
def test_the_search_counts_what_the_pruned_network_costs(arch):
    module = build_model(small(arch)).eval()
    units = find_units(module)
    removed = random_removal(units)
    cost = WidthCost(module, units, SIZE_HW)
    assert cost.at({}) == count_cost(module, SIZE_HW)
    predicted = cost.at(removed)
    cut(module, units, removed)
    assert predicted == count_cost(module, SIZE_HW)


@pytest.mark.parametrize("arch", MODELS)
def test_a_target_is_met_with_round_widths_and_replays_to_the_bit(arch):
    torch.manual_seed(0)
    spec = small(arch)
    module = build_model(spec)
    pruned, metadata = prune(module, SIZE_HW, PruneOptions(target_macs=0.6, round_to=4))
    before, after = Cost(**metadata["before"]), Cost(**metadata["after"])
    assert before == count_cost(module, SIZE_HW)
    assert after == count_cost(pruned, SIZE_HW)
    assert 0.3 * before.macs < after.macs <= 0.6 * before.macs
    for name, layer in pruned.named_modules():
        if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
            dense = module.get_submodule(name)
            if layer.out_channels != dense.out_channels:
                assert layer.out_channels % 4 == 0, name
            if layer.in_channels != dense.in_channels:
                assert layer.in_channels % 4 == 0, name
    step = StepDone("prune", {}, metadata)
    again = module_from_checkpoint(Checkpoint(spec, (step,), pruned.state_dict()))
    x = torch.randn(2, 3, 45, 61)
    with torch.no_grad():
        assert torch.equal(again(x), pruned.eval()(x))
    assert str(again) == str(pruned)
