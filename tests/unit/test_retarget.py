import dataclasses

import pytest
import torch

from edgeseg.core.recipe import StepDone
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.prune import PruneOptions, prune
from edgeseg.host.retarget import retargeted
from tests.small_models import small


class Data:
    class_names = ("road", "weed", "crop")
    palette = ((0, 0, 0), (255, 0, 0), (0, 255, 0))
    ignore_index = 255


def checkpoint(arch):
    spec = small(arch)
    return Checkpoint(spec, (StepDone("train"),), build_model(spec).state_dict())


@pytest.mark.parametrize("arch", MODELS)
def test_every_architecture_gets_other_classes_and_keeps_the_rest(arch):
    start = checkpoint(arch)
    found, fresh = retargeted(start, Data())
    assert (found.spec.class_names, found.spec.ignore_index) == (Data.class_names, 255)
    # The FCN variants of Table 1 decode in as many channels as there are classes.
    assert 0 < len(fresh) < len(found.weights) / 2
    for key, value in found.weights.items():
        assert (key in fresh) or torch.equal(value, start.weights[key])
    with torch.no_grad():
        logits = module_from_checkpoint(found)(torch.randn(2, 3, 64, 96))
    assert logits.shape[:2] == (2, 3)


def test_more_classes_than_before_fit_a_pruned_network():
    start = checkpoint("segnet-basic")
    narrow, metadata = prune(
        module_from_checkpoint(start), (48, 64), PruneOptions(ratio=0.5, round_to=2)
    )
    pruned = dataclasses.replace(
        start, steps=(*start.steps, StepDone("prune", {}, metadata)), weights=narrow.state_dict()
    )
    names = tuple(f"c{n}" for n in range(20))
    data = Data()
    data.class_names, data.palette = names, ((1, 2, 3),) * 20
    found, _ = retargeted(pruned, data)
    with torch.no_grad():
        assert module_from_checkpoint(found)(torch.randn(2, 3, 48, 64)).shape[1] == 20


@pytest.mark.parametrize("arch", ["fcn-basic", "deeplabv2-resnet101"])
def test_where_pruning_cut_channels_that_belong_to_the_classes_is_said(arch):
    start = checkpoint(arch)
    narrow, metadata = prune(
        module_from_checkpoint(start), (64, 96), PruneOptions(ratio=0.25, round_to=1)
    )
    pruned = dataclasses.replace(
        start, steps=(*start.steps, StepDone("prune", {}, metadata)), weights=narrow.state_dict()
    )
    with pytest.raises(UsageError, match="which belong to the classes; go on from the network"):
        retargeted(pruned, Data())
