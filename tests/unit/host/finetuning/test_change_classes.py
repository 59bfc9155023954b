import dataclasses

import pytest
import torch

from edgeseg.core.recipe import StepDone
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, module_from_checkpoint
from edgeseg.host.finetuning.change_classes import with_classes_of
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.pruning.options import PruneOptions
from edgeseg.host.pruning.prune import prune
from edgeseg.host.pruning.sparsity import has_pattern, masks_of, sparsify
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
    found, fresh = with_classes_of(start, Data())
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
    found, _ = with_classes_of(pruned, data)
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
        with_classes_of(pruned, Data())


@pytest.mark.parametrize("arch", ["fcn-basic", "fcn-8s", "segnet-basic"])
def test_a_sparse_network_stays_sparse_where_the_new_classes_allow_it(arch):
    start = checkpoint(arch)
    sparse, metadata = sparsify(module_from_checkpoint(start))
    steps = (*start.steps, StepDone("prune", {"sparsity": "2:4"}, metadata))
    start = dataclasses.replace(start, steps=steps, weights=sparse.state_dict())
    found, _ = with_classes_of(start, Data())
    masks = masks_of(module_from_checkpoint(found), found.steps)
    assert 0 < len(masks) <= len(metadata["sparse"])
    assert all(has_pattern(found.weights[f"{name}.weight"]) for name in masks)


def test_as_many_classes_as_a_label_can_name():
    data = Data()
    data.class_names = tuple(f"c{n}" for n in range(255))
    data.palette = ((1, 2, 3),) * 255
    start = checkpoint("segnet-basic")
    found, fresh = with_classes_of(start, data)
    assert found.spec.n_classes == 255
    assert 0 < len(fresh) < len(found.weights) / 2
