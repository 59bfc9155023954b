"""What the tests of several verbs start from."""

from pathlib import Path

import pytest
import torch
from small_models import small

from edgeseg.core.recipe import StepDone
from edgeseg.host.checkpoint import Checkpoint, save_checkpoint
from edgeseg.host.models import build_model


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float checkpoint of a small network that nothing has trained."""
    torch.manual_seed(0)
    spec = small("segnet-basic", size_hw=(32, 48), channels=32)
    path = tmp_path_factory.mktemp("dense") / "dense.safetensors"
    weights = build_model(spec).state_dict()
    save_checkpoint(path, Checkpoint(spec, (StepDone("train"),), weights))
    return path
