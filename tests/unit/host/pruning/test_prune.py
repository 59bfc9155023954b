import copy
import dataclasses

import pytest
import torch
from blobs import SPEC, Blobs
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import small
from torch import nn

from edgeseg.core.recipe import StepDone
from edgeseg.errors import RecipeError, UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.cost import count_cost
from edgeseg.host.models import build_model
from edgeseg.host.pruning.cut import widths_of
from edgeseg.host.pruning.graph import find_units
from edgeseg.host.pruning.importance import score_units
from edgeseg.host.pruning.options import IMPORTANCES, PruneOptions
from edgeseg.host.pruning.prune import prune
from edgeseg.host.pruning.rounds import PrunePlan, PruneResult, check_prunable, prune_in_rounds
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize

SIZE_HW = (48, 64)


@pytest.fixture(scope="module")
def net() -> nn.Module:
    torch.manual_seed(0)
    return build_model(SPEC).eval()


@pytest.mark.parametrize("importance", sorted(set(IMPORTANCES) - {"random", "fpgm"}))
def test_a_channel_that_says_nothing_matters_least(net, importance):
    module = copy.deepcopy(net)
    with torch.no_grad():
        for name in ("encoder.0", "decoder.2"):
            layer = module.get_submodule(name)
            layer[0].weight[5] = 0
            layer[1].weight[5] = 0
        for name in ("encoder.1.0", "decoder.3.0"):
            module.get_submodule(name).weight[:, 5] = 0
    units = find_units(module)
    frames = [(torch.randn(2, 3, *SIZE_HW), torch.randint(0, 2, (2, *SIZE_HW)))]
    scores = score_units(module, units, importance, frames)
    assert units[0].producers == ("encoder.0.0", "decoder.2.0")
    assert int(scores[0].argmin()) == 5
    assert float(scores[0][5]) == pytest.approx(0, abs=1e-6)


def test_fpgm_lets_go_of_what_lies_between_the_others(net):
    module = copy.deepcopy(net)
    conv = module.encoder[3][0]
    with torch.no_grad():
        conv.weight[7] = conv.weight.mean(0)
    units = find_units(module)
    (position,) = [i for i, unit in enumerate(units) if unit.name == "encoder.3.0"]
    assert int(score_units(module, units, "fpgm")[position].argmin()) == 7


def test_random_repeats_with_its_seed_and_leaves_the_global_one(net):
    units = find_units(copy.deepcopy(net))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, again, other = (score_units(net, units, "random", seed=s)[0] for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@settings(max_examples=20)
@given(
    ratio=st.floats(0, 0.85),
    step=st.sampled_from([1, 2, 4, 8]),
    scope=st.sampled_from(["uniform", "global"]),
)
def test_widths_are_round_and_costs_never_rise(net, ratio, step, scope):
    options = PruneOptions(ratio=ratio, round_to=step, scope=scope, max_ratio=0.85)
    pruned, metadata = prune(net, SIZE_HW, options)
    dense = widths_of(net)
    for name, (takes, gives) in widths_of(pruned).items():
        if name not in ("encoder.0.0", "classifier"):
            assert takes % step == 0, name
        if name != "classifier":
            assert gives % step == 0, name
        assert 1 <= gives <= dense[name][1]
    assert metadata["after"]["macs"] <= metadata["before"]["macs"]
    assert count_cost(net, SIZE_HW).macs == metadata["before"]["macs"]


def test_both_parts_of_a_concatenation_are_round():
    module = build_model(small("deeplabv3plus-mobilenetv2", low_channels=24))
    pruned, _ = prune(module, (64, 96), PruneOptions(ratio=0.4, round_to=8))
    low, high = pruned.reduce[0].out_channels, pruned.aspp.project[0].out_channels
    assert low % 8 == high % 8 == 0
    depthwise = pruned.refine[0][0][0]
    assert depthwise.groups == depthwise.in_channels == low + high


@pytest.mark.parametrize("scope", ["uniform", "global"])
def test_a_layer_at_ratio_0_stays_as_it_is_whatever_the_step(net, scope):
    options = PruneOptions(
        target_macs=0.5, round_to=6, scope=scope, layer_ratios={"encoder.3.*": 0}
    )
    pruned, _ = prune(net, SIZE_HW, options)
    assert pruned.encoder[3][0].out_channels == 16
    assert pruned.encoder[2][0].out_channels in (6, 12)


def test_a_global_threshold_takes_different_shares(net):
    module = copy.deepcopy(net)
    with torch.no_grad():
        module.encoder[3][0].weight[4:] *= 1e-3
    options = PruneOptions(ratio=0.3, round_to=1, scope="global")
    pruned, _ = prune(module, SIZE_HW, options)
    shares = {
        unit.name: pruned.get_submodule(unit.name).out_channels / unit.width
        for unit in find_units(copy.deepcopy(module))
    }
    assert shares["encoder.3.0"] == min(shares.values())
    assert len(set(shares.values())) > 1


def test_two_targets_hold_at_once_and_rounds_end_at_the_goal(net, tmp_path):
    start = Checkpoint(SPEC, (StepDone("train"),), net.state_dict())
    options = PruneOptions(target_macs=0.5, target_params=0.4, round_to=1)
    result = prune_in_rounds(start, PrunePlan(options, rounds=3), tmp_path)
    assert result.after.params <= 0.4 * result.before.params
    assert result.after.macs <= 0.5 * result.before.macs
    costs = [step.metadata["after"]["params"] for step in result.checkpoint.steps[1:]]
    assert costs == sorted(costs, reverse=True)
    assert costs[0] > 0.7 * result.before.params
    assert result.after.params > 0.3 * result.before.params


def test_taylor_looks_at_the_data_it_is_given(net, tmp_path):
    start = Checkpoint(SPEC, (StepDone("train"),), net.state_dict())
    plan = PrunePlan(PruneOptions(ratio=0.5, importance="taylor"), images=2)
    seen = []
    prune_in_rounds(start, plan, tmp_path, Blobs(3), progress=seen.append)
    assert seen == [1, 2]


def test_a_quantized_network_is_refused_with_the_reason(net):
    quantized, _ = quantize(net, QuantizeOptions(), [torch.randn(1, 3, *SIZE_HW)])
    with pytest.raises(UsageError, match="Prune the float checkpoint"):
        prune(quantized, SIZE_HW, PruneOptions(ratio=0.5))
    for kinds in (["train", "quantize"], ["train", "quantize", "qat"]):
        steps = [StepDone(kind) for kind in kinds]
        with pytest.raises(RecipeError, match="pruning goes before quantization"):
            check_prunable(steps, PrunePlan(PruneOptions(ratio=0.5)))


def test_a_layer_that_evaluation_does_not_use_is_refused():
    module = build_model(SPEC)
    module.auxiliary = nn.Conv2d(16, 2, 1)
    with pytest.raises(UsageError, match="does not use auxiliary"):
        prune(module, SIZE_HW, PruneOptions(ratio=0.5))


def test_rounds_together_take_no_more_of_a_layer_than_max_ratio(net, tmp_path):
    start = Checkpoint(SPEC, (), net.state_dict())
    options = PruneOptions(target_macs=0.45, round_to=1, max_ratio=0.5)
    result = prune_in_rounds(start, PrunePlan(options, rounds=3), tmp_path)
    pruned = result.checkpoint.steps[-1].metadata["widths"]
    dense = widths_of(net)
    assert any(pruned[name] != list(dense[name]) for name in dense)
    for name, (_, given_out) in pruned.items():
        assert given_out >= dense[name][1] / 2, name
    out_of_reach = PruneOptions(target_macs=0.15, round_to=1, max_ratio=0.5)
    with pytest.raises(UsageError, match="max_ratio"):
        prune_in_rounds(start, PrunePlan(out_of_reach, rounds=3), tmp_path / "far")


def kept(result: PruneResult) -> list[int]:
    return [
        given_out for _, given_out in widths_of(module_from_checkpoint(result.checkpoint)).values()
    ]


@pytest.mark.parametrize("scope", ["uniform", "global"])
@pytest.mark.parametrize("rounds", [2, 5, 10])
def test_rounds_end_where_one_does_whatever_widths_are_rounded_to(tmp_path, rounds, scope):
    torch.manual_seed(4)
    spec = dataclasses.replace(SPEC, options={"channels": 64, "kernel": 3})
    start = Checkpoint(spec, (StepDone("train"),), build_model(spec).state_dict())
    options = PruneOptions(ratio=0.5, layer_ratios={"encoder.3.*": 0.25}, scope=scope)
    once = prune_in_rounds(start, PrunePlan(options), tmp_path / "once")
    often = prune_in_rounds(start, PrunePlan(options, rounds=rounds), tmp_path / "often")
    if scope == "uniform":
        assert often.after == once.after
    # With a threshold over all layers, what a round leaves is ranked anew, and other layers give.
    left = [sum(kept(result)) for result in (once, often)]
    assert left[1] == pytest.approx(left[0], rel=0.15)


def test_a_target_that_one_round_reaches_is_reached_in_ten(tmp_path):
    torch.manual_seed(4)
    spec = dataclasses.replace(SPEC, options={"channels": 64, "kernel": 3})
    start = Checkpoint(spec, (StepDone("train"),), build_model(spec).state_dict())
    result = prune_in_rounds(start, PrunePlan(PruneOptions(target_macs=0.2), rounds=10), tmp_path)
    assert 0.15 * result.before.macs <= result.after.macs <= 0.2 * result.before.macs


def test_rounding_takes_no_more_than_max_ratio():
    module = build_model(small("deeplabv3plus-mobilenetv2"))
    options = PruneOptions(ratio=0.1, round_to=16, max_ratio=0.2)
    dense, pruned = widths_of(module), widths_of(prune(module, SIZE_HW, options)[0])
    assert dense != pruned
    for name, (_, out) in pruned.items():
        assert out >= 0.8 * dense[name][1] - 0.5, name
