"""The repair of a pruned network: what the channels left can say is not lost."""

import copy

import pytest
import torch
from blobs import SPEC, Blobs
from small_models import small

from edgeseg.core.recipe import StepDone
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.models import build_model
from edgeseg.host.pruning.cut import cut
from edgeseg.host.pruning.graph import find_units
from edgeseg.host.pruning.options import PruneOptions
from edgeseg.host.pruning.repair import refit_weights, write_refit
from edgeseg.host.pruning.rounds import PrunePlan, prune_in_rounds

SIZE_HW = (48, 64)


def frames(count: int, seed: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(2, 3, *SIZE_HW, generator=generator), torch.empty(0)) for _ in range(count)
    ]


def cut_and_repaired(module, removed, batches):
    units = find_units(module)
    narrow = copy.deepcopy(module).eval()
    cut(narrow, units, removed)
    repaired = copy.deepcopy(narrow)
    write_refit(repaired, refit_weights(module, units, removed, batches))
    return narrow, repaired


@pytest.mark.parametrize("bias", [True, False])
def test_a_twin_takes_over_what_the_lost_channel_said(bias):
    """Channel 5 equals 3 but is read otherwise: without it the function can stay the same."""
    torch.manual_seed(0)
    module = build_model(SPEC).eval()
    maker, norm = module.encoder[3][0], module.encoder[3][1]
    reader = module.decoder[0][0]
    if not bias:
        reader.bias = None
    with torch.no_grad():
        maker.weight[5] = maker.weight[3]
        for tensor in (maker.bias, norm.weight, norm.bias, norm.running_mean, norm.running_var):
            if tensor is not None:
                tensor[5] = tensor[3]
    narrow, repaired = cut_and_repaired(module, {"encoder.3.0": frozenset({5})}, frames(8))
    assert repaired.decoder[0][0].in_channels == 15
    x = frames(1, seed=1)[0][0]
    with torch.no_grad():
        wanted, without, with_repair = module(x), narrow(x), repaired(x)
    lost = float((without - wanted).abs().max())
    assert lost > 1e-3
    assert float((with_repair - wanted).abs().max()) < 0.05 * lost


@pytest.mark.parametrize("arch", ["fcn-basic", "deeplabv3plus-mobilenetv2", "segnet"])
def test_the_output_comes_nearer_on_frames_not_seen(arch):
    """One unit at a time: on random weights, unlike trained ones, losses of several add up."""
    torch.manual_seed(0)
    module = build_model(small(arch)).eval()
    units = find_units(module)
    x = frames(1, seed=1)[0][0]
    batches = frames(6)
    errors = []
    for unit in (units[0], units[-1]):
        order = torch.randperm(unit.width).tolist()
        removed = {unit.name: frozenset(order[: max(1, unit.width // 3)])}
        nets = cut_and_repaired(module, removed, batches)
        with torch.no_grad():
            wanted = module(x)
            errors.append([float((net(x) - wanted).square().mean()) for net in nets])
    for without, with_repair in errors:
        assert with_repair < without


def test_positions_are_read_as_the_convolution_reads_them():
    """Stride, dilation and padding: with nothing lost but a silent channel, weights stay."""
    torch.manual_seed(0)
    module = build_model(small("deeplabv3plus-resnet50")).eval()
    units = find_units(module)
    removed = {}
    with torch.no_grad():
        for unit in units:
            removed[unit.name] = frozenset({0})
            for member in unit.members:
                layer = module.get_submodule(member.layer)
                own = [at for channel, at in member.channels if channel == 0]
                if member.gives:
                    for tensor in layer.parameters():
                        tensor[own] = 0
    refit = refit_weights(module, units, removed, frames(4))
    shapes = {module.get_submodule(name).kernel_size for name in refit}
    assert {(1, 1), (3, 3)} <= shapes
    narrow = copy.deepcopy(module)
    cut(narrow, units, removed)
    for name, (weight, _, _) in refit.items():
        old = narrow.get_submodule(name).weight.detach()
        assert float((weight - old).abs().max()) < 1e-2 * float(old.abs().max()), name


def test_a_prune_step_records_the_repair_and_replays(tmp_path):
    torch.manual_seed(0)
    net = build_model(SPEC).eval()
    start = Checkpoint(SPEC, (StepDone("train"),), net.state_dict())
    seen = []
    plan = PrunePlan(PruneOptions(ratio=0.5, importance="taylor", repair=True), images=2)
    result = prune_in_rounds(start, plan, tmp_path, Blobs(3), progress=seen.append)
    assert seen == [1, 2, 1, 2]
    options = result.checkpoint.steps[-1].options
    assert options["repair"] is True
    assert options["images"] == 2
    again = prune_in_rounds(start, plan, tmp_path, Blobs(3)).checkpoint
    x = torch.randn(1, 3, *SIZE_HW)
    with torch.no_grad():
        assert torch.equal(
            module_from_checkpoint(result.checkpoint).eval()(x),
            module_from_checkpoint(again).eval()(x),
        )
    with pytest.raises(UsageError, match="give --data"):
        prune_in_rounds(start, PrunePlan(PruneOptions(ratio=0.5, repair=True)), tmp_path)
