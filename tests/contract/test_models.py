"""Every entry of MODELS keeps the same laws."""

import math
import re
import sys

import pytest
import torch
from small_models import small
from torch import fx, nn

from edgeseg.core.spec import ModelSpec
from edgeseg.errors import SpecError, UsageError
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.finetuning.balance import balanced
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.models.blocks import IndexedMaxPool2d, MaxUnpool2d
from edgeseg.host.models.label_net import LabelNet, resize_logits
from edgeseg.host.training.optim import build_optimizer


class LeafTracer(fx.Tracer):
    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        pooling = isinstance(module, (IndexedMaxPool2d, MaxUnpool2d))
        return pooling or super().is_leaf_module(module, name)


@pytest.mark.parametrize("arch", MODELS)
@pytest.mark.parametrize("size_hw", [(64, 96), (45, 61), (90, 120)])
def test_any_size_gives_labels_of_that_size(arch, size_hw):
    spec = small(arch)
    net = LabelNet(spec, build_model(spec)).eval()
    frames = torch.randint(0, 256, (2, *size_hw, 3), dtype=torch.uint8)
    labels = net(frames)
    assert labels.shape == (2, *size_hw)
    assert labels.dtype == torch.uint8
    assert int(labels.max()) < spec.n_classes


@pytest.mark.parametrize("arch", MODELS)
def test_frames_of_a_batch_do_not_see_each_other(arch):
    torch.manual_seed(0)
    model = build_model(small(arch)).eval()
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        both, alone = model(x), model(x[1:])
    # Without training, residual stages let values grow, and their rounding with them.
    assert torch.allclose(both[1:], alone, rtol=0, atol=1e-5 * float(both.abs().max()))


@pytest.mark.parametrize("arch", MODELS)
def test_scores_move_by_the_last_layers_bias_alone_where_it_has_one(arch):
    torch.manual_seed(0)
    spec = small(arch)
    model = build_model(spec).eval()
    start = Checkpoint(spec, (), {k: v.clone() for k, v in model.state_dict().items()})
    weights = torch.linspace(0.5, 4, spec.n_classes)
    if model.classifier.bias is None:
        with pytest.raises(UsageError, match="without bias"):
            balanced(start, weights, 1.0)
        return
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        before = model(x)
        model.load_state_dict(balanced(start, weights, 1.0).weights)
        moved = (before - model(x)).mean((0, 2, 3))
    # Without training a deep network's scores are large, and rounded where they move.
    assert torch.allclose(moved, torch.log(weights), atol=1e-5 * float(before.abs().max() + 1))


@pytest.mark.parametrize("arch", MODELS)
def test_one_training_step_reaches_every_parameter(arch):
    torch.manual_seed(0)
    spec = small(arch)
    model = build_model(spec).train()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    logits = resize_logits(model(torch.randn(2, 3, 64, 96)), spec.size_hw)
    labels = torch.randint(0, spec.n_classes, (2, *spec.size_hw))
    nn.functional.cross_entropy(logits, labels).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []
    build_optimizer(model, "adamw", lr=1e-3, weight_decay=0.02).step()
    after = dict(model.named_parameters())
    assert all(torch.isfinite(p).all() for p in after.values())
    still = [name for name, p in before.items() if torch.equal(p, after[name])]
    assert still == []


@pytest.mark.parametrize("arch", MODELS)
def test_training_begins_near_a_guess(arch):
    torch.manual_seed(0)
    spec = small(arch)
    logits = build_model(spec).train()(torch.randn(4, 3, 64, 96))
    labels = torch.randint(0, spec.n_classes, (4, *logits.shape[-2:]))
    first = float(nn.functional.cross_entropy(logits.detach(), labels))
    # Where BN has brought no feature to scale, or four branches add up, it is twice that.
    assert first < 2.2 * math.log(spec.n_classes)


@pytest.mark.parametrize("arch", MODELS)
def test_it_traces_and_the_trace_computes_the_same(arch):
    model = build_model(small(arch)).eval()
    traced = fx.GraphModule(model, LeafTracer().trace(model))
    x = torch.randn(2, 3, 45, 61)
    assert torch.equal(traced(x), model(x))


@pytest.mark.parametrize("arch", MODELS)
def test_the_state_dict_round_trips(arch):
    spec = small(arch)
    first, second = build_model(spec).eval(), build_model(spec).eval()
    second.load_state_dict(first.state_dict(), strict=True)
    x = torch.randn(2, 3, 64, 96)
    assert torch.equal(first(x), second(x))


@pytest.mark.parametrize("arch", MODELS)
def test_it_cites_its_paper_and_ends_in_its_classifier(arch):
    model = build_model(small(arch))
    assert "arXiv" in MODELS.load(arch).source
    lineage = [cls for cls in MODELS.load(arch).__mro__ if cls.__module__.startswith("edgeseg")]
    text = " ".join(f"{cls.__doc__} {sys.modules[cls.__module__].__doc__}" for cls in lineage)
    assert re.search(r"section|table|figure", text)
    assert "Deviation" in text
    assert isinstance(model.classifier, (nn.Conv2d, nn.ConvTranspose2d))
    assert model.classifier.out_channels == 11


@pytest.mark.parametrize("arch", MODELS)
def test_wrong_options_and_strides_are_spec_errors(arch):
    with pytest.raises(SpecError, match="depth"):
        build_model(small(arch, depth=3))
    with pytest.raises(SpecError, match="output_stride"):
        build_model(ModelSpec(arch, output_stride=7))


def test_an_unknown_model_offers_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'segnet-basic'"):
        build_model(ModelSpec("segnet-basik"))
