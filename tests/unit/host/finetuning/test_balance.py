"""Class scores shifted without training."""

import numpy as np
import pytest
import torch
from simulated import Frames
from small_models import small

from edgeseg.core.data.open import open_dataset
from edgeseg.core.recipe import StepDone
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.finetuning.balance import balanced, sweep
from edgeseg.host.models import build_model
from edgeseg.host.quantization.quantize import QuantizeOptions, quantize
from edgeseg.host.training.loss.losses import median_frequency_weights
from edgeseg.host.training.validate import score_module

WEIGHTS = torch.linspace(0.5, 4, 11)


@pytest.fixture(scope="module")
def float_net() -> Checkpoint:
    torch.manual_seed(3)
    spec = small("segnet-basic", size_hw=(48, 64))
    return Checkpoint(spec, (), build_model(spec).state_dict())


@pytest.fixture(scope="module")
def int8_net(float_net) -> Checkpoint:
    frames = [torch.randn(1, 3, 48, 64)]
    options = QuantizeOptions()
    module, metadata = quantize(module_from_checkpoint(float_net), options, frames)
    step = StepDone("quantize", options.to_step(), metadata)
    return Checkpoint(float_net.spec, (step,), module.state_dict())


@pytest.mark.parametrize("net", ["float_net", "int8_net"])
def test_every_score_moves_by_its_classs_share_and_nothing_else_changes(net, request):
    start = request.getfixturevalue(net)
    found = balanced(start, WEIGHTS, 0.25)
    x = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        moved = module_from_checkpoint(found)(x) - module_from_checkpoint(start)(x)
    expected = (-0.25 * torch.log(WEIGHTS))[None, :, None, None].expand_as(moved)
    assert torch.allclose(moved, expected, atol=1e-5)
    assert found.steps[-1].kind == "balance"
    assert found.steps[-1].options == {"take_back": 0.25}
    assert found.steps[:-1] == start.steps
    changed = [k for k, v in found.weights.items() if not torch.equal(v, start.weights[k])]
    assert changed == ["classifier.bias"]


def test_taking_back_and_giving_again_is_nothing(float_net):
    there_and_back = balanced(balanced(float_net, WEIGHTS, 0.3), WEIGHTS, -0.3)
    for key, value in float_net.weights.items():
        assert torch.allclose(there_and_back.weights[key], value, atol=1e-6), key


@pytest.mark.parametrize("net", ["float_net", "int8_net"])
def test_a_sweep_scores_what_each_balanced_network_scores(net, request):
    start = request.getfixturevalue(net)
    # Frames of another size than the network's, so that labels go back to the frame.
    data = open_dataset("synthetic:8", "val", size_hw=(60, 100), seed=0)
    weights = median_frequency_weights(open_dataset("synthetic:8", "train", size_hw=(60, 100)))
    amounts = (-0.5, 0.0, 0.5)
    seen: list[int] = []
    found = sweep(start, data, weights, amounts, progress=seen.append)
    assert seen == list(range(1, len(data) + 1))
    for amount, scores in zip(amounts, found, strict=True):
        module = module_from_checkpoint(balanced(start, weights, amount))
        own = score_module(start.spec, module, data)
        # A pixel whose two best scores are equal to the last bit may fall either way.
        assert scores.global_accuracy == pytest.approx(own.global_accuracy, abs=1e-3)
        assert np.allclose(scores.per_class_accuracy, own.per_class_accuracy, atol=2e-2)
    assert len({scores.global_accuracy for scores in found}) == len(amounts)


def test_taking_back_names_more_of_the_common_classes(float_net):
    """The share of pixels of the most weighted class falls as more is taken back."""
    weights = torch.ones(11)
    weights[4] = 50.0
    x = torch.randn(2, 3, 48, 64)
    shares = []
    for amount in (-1.0, 0.0, 1.0):
        with torch.no_grad():
            labels = module_from_checkpoint(balanced(float_net, weights, amount))(x).argmax(1)
        shares.append(float((labels == 4).float().mean()))
    assert shares[0] > shares[1] >= shares[2]
    assert shares[0] > 0.5
    assert shares[2] < 0.05


def test_a_last_layer_without_bias_is_refused():
    spec = small("fcn-8s")
    start = Checkpoint(spec, (), build_model(spec).state_dict())
    for call in (
        lambda: balanced(start, WEIGHTS, 0.5),
        lambda: sweep(start, Frames(), WEIGHTS, (0.0,)),
    ):
        with pytest.raises(UsageError, match="fcn-8s ends in a layer without bias"):
            call()
