import dataclasses

import pytest
import torch

from edgeseg.core.recipe import StepDone
from edgeseg.errors import CheckpointError, UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.finetuning.restore_batch_norms import restored
from edgeseg.host.models import build_model
from edgeseg.host.pruning.options import PruneOptions
from edgeseg.host.pruning.prune import prune
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize, set_quantizing
from tests.small_models import small

FRAMES = [torch.randn(2, 3, 48, 64, generator=torch.Generator().manual_seed(n)) for n in range(3)]


def lively(arch):
    """A network whose batch norms have seen something, as a checkpoint."""
    torch.manual_seed(5)
    spec = small(arch)
    module = build_model(spec).train()
    with torch.no_grad():
        for frame in FRAMES:
            module(frame)
        for layer in module.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.weight.uniform_(0.5, 1.5)
                layer.bias.uniform_(-0.3, 0.3)
    return Checkpoint(spec, (StepDone("train"),), module.eval().state_dict())


def quantized(checkpoint, **options):
    choice = QuantizeOptions(observer="max", **options)
    module, metadata = quantize(module_from_checkpoint(checkpoint), choice, FRAMES)
    step = StepDone("quantize", choice.to_step(), metadata)
    return dataclasses.replace(
        checkpoint, steps=(*checkpoint.steps, step), weights=module.state_dict()
    )


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("arch", ["deeplabv3plus-mobilenetv2", "segnet-basic", "fcn-8s"])
def test_an_unfolded_network_computes_what_the_quantized_one_rounds(arch, learned):
    given = quantized(lively(arch), learned_scales=learned)
    found = restored(given, FRAMES)
    assert [step.kind for step in found.steps] == ["train"]
    exact = module_from_checkpoint(given)
    set_quantizing(exact, False)
    with torch.no_grad():
        expected = exact(FRAMES[0])
        result = module_from_checkpoint(found)(FRAMES[0])
    torch.testing.assert_close(result, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-4)


def test_its_filters_have_the_length_that_training_starts_with():
    """Whatever folding made of them: no step of training moves one far and another hardly."""
    start = lively("deeplabv3plus-mobilenetv2")
    state = dict(start.weights)
    state["refine.0.0.0.weight"] = state["refine.0.0.0.weight"].clone()
    state["refine.0.0.0.weight"][1] = 0
    given = quantized(dataclasses.replace(start, weights=state))
    module = module_from_checkpoint(restored(given, FRAMES))
    lengths = {
        name: layer.weight.detach().flatten(1).norm(dim=1)
        for name, layer in module.named_modules()
        if isinstance(layer, torch.nn.Conv2d) and name != "classifier"
    }
    assert float(lengths["refine.0.0.0"][1]) == 0
    for name, length in lengths.items():
        kept = length[length > 0]
        torch.testing.assert_close(kept, torch.full_like(kept, 2**0.5), msg=name)


def test_its_batch_norms_know_the_statistics_of_the_frames():
    module = module_from_checkpoint(restored(quantized(lively("segnet-basic")), FRAMES))
    seen = {}
    norms = {n: m for n, m in module.named_modules() if isinstance(m, torch.nn.BatchNorm2d)}
    for name, norm in norms.items():
        norm.register_forward_pre_hook(lambda _, x, name=name: seen.setdefault(name, x[0]))
    with torch.no_grad():
        module(torch.cat(FRAMES))
    assert len(seen) == len(norms) > 4
    for name, values in seen.items():
        torch.testing.assert_close(
            norms[name].running_mean, values.mean((0, 2, 3)), atol=1e-4, rtol=1e-4
        )
        torch.testing.assert_close(
            norms[name].running_var, values.var((0, 2, 3), correction=0), atol=1e-5, rtol=1e-3
        )


def test_a_pruned_network_keeps_its_widths():
    start = lively("segnet-basic")
    narrow, metadata = prune(
        module_from_checkpoint(start), (48, 64), PruneOptions(ratio=0.5, round_to=2)
    )
    pruned = dataclasses.replace(
        start,
        steps=(*start.steps, StepDone("prune", {}, metadata)),
        weights=narrow.state_dict(),
    )
    found = restored(quantized(pruned), FRAMES)
    assert [step.kind for step in found.steps] == ["train", "prune"]
    shapes = {key: value.shape for key, value in narrow.state_dict().items()}
    assert {key: value.shape for key, value in found.weights.items()} == shapes


def test_what_cannot_be_unfolded_is_said():
    start = lively("segnet-basic")
    with pytest.raises(UsageError, match="no batch norm to restore"):
        restored(start, FRAMES)
    given = quantized(start)
    with pytest.raises(UsageError, match="no frames"):
        restored(given, [])
    lacking = {k: v for k, v in given.weights.items() if k != "decoder.0.0.bias"}
    assert len(lacking) == len(given.weights) - 1
    with pytest.raises(CheckpointError, match=r"decoder\.0\.0\.bias"):
        restored(dataclasses.replace(given, weights=lacking), FRAMES)
