"""Pruning in rounds: which run may be gone on with."""

import pytest
import torch

from edgeseg.core.recipe import StepDone
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint
from edgeseg.host.models import build_model
from edgeseg.host.pruning.prune import PruneOptions
from edgeseg.host.pruning.rounds import PrunePlan, prune_in_rounds
from tests.blobs import SPEC, Blobs


def named(seed: int) -> Blobs:
    data = Blobs(4, seed)
    data.name = "mine"
    return data


def test_images_of_the_same_name_and_other_content_are_not_gone_on_with(tmp_path):
    torch.manual_seed(0)
    start = Checkpoint(SPEC, (StepDone("train"),), build_model(SPEC).state_dict())
    plan = PrunePlan(PruneOptions(ratio=0.25, importance="taylor", round_to=1), images=4)
    prune_in_rounds(start, plan, tmp_path, named(0))
    prune_in_rounds(start, plan, tmp_path, named(0), resume=True)
    with pytest.raises(UsageError, match="looked_at 'mine' with other content than now"):
        prune_in_rounds(start, plan, tmp_path, named(1), resume=True)
