import json
import pickle

import pytest
import safetensors.torch
import torch

from edgeseg.core.recipe import StepDone
from edgeseg.core.spec import ModelSpec
from edgeseg.errors import CheckpointError
from edgeseg.host.checkpoint import (
    Checkpoint,
    load_checkpoint,
    module_from_checkpoint,
    save_checkpoint,
)
from edgeseg.host.models import build_model

SPEC = ModelSpec("segnet-basic", size_hw=(64, 96), options={"channels": 8, "kernel": 3})


@pytest.fixture
def checkpoint():
    torch.manual_seed(0)
    module = build_model(SPEC)
    return Checkpoint(
        SPEC, (StepDone("train", {"epochs": 1}),), module.state_dict(), {"seed": 0}, {"val": {}}
    )


def test_a_saved_checkpoint_rebuilds_the_same_network(checkpoint, tmp_path):
    save_checkpoint(tmp_path / "c.safetensors", checkpoint)
    again = load_checkpoint(tmp_path / "c.safetensors")
    assert (again.spec, again.steps, again.provenance) == (SPEC, checkpoint.steps, {"seed": 0})
    x = torch.randn(2, 3, 45, 61)
    assert torch.equal(module_from_checkpoint(again)(x), module_from_checkpoint(checkpoint)(x))


def test_half_storage_halves_the_file_and_rounds_the_weights_once(checkpoint, tmp_path):
    whole, half, twice = (tmp_path / name for name in ("w", "h", "t"))
    save_checkpoint(whole, checkpoint)
    save_checkpoint(half, checkpoint, half=True)
    save_checkpoint(twice, load_checkpoint(half), half=True)
    assert half.stat().st_size < 0.7 * whole.stat().st_size
    assert half.read_bytes() == twice.read_bytes()
    assert load_checkpoint(half).weights["classifier.weight"].dtype == torch.float32


def test_weights_of_another_network_are_refused(checkpoint):
    other = ModelSpec("segnet-basic", options={"channels": 16, "kernel": 3})
    with pytest.raises(CheckpointError, match="do not fit segnet-basic"):
        module_from_checkpoint(Checkpoint(other, (), checkpoint.weights))


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    with pytest.raises(CheckpointError, match="not a file"):
        load_checkpoint(path)
    path.write_bytes(pickle.dumps({"weights": 1}))
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match="not an edgeseg checkpoint"):
        load_checkpoint(path)
    header = json.dumps({"format": 99})
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}, metadata={"edgeseg": header}))
    with pytest.raises(CheckpointError, match="format 99"):
        load_checkpoint(path)


def test_a_truncated_checkpoint_is_refused(checkpoint, tmp_path):
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, checkpoint)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(path)


@pytest.mark.parametrize("kind", ["relu6_to_hardswish", "", "Prune"])
def test_a_step_of_a_later_version_is_refused_by_name(checkpoint, tmp_path, kind):
    steps = (*checkpoint.steps, StepDone(kind))
    later = Checkpoint(SPEC, steps, checkpoint.weights)
    save_checkpoint(tmp_path / "c", later)
    told = f"step '{kind}' that edgeseg .* does not know .*it knows import, train, .*; use the edge"
    with pytest.raises(CheckpointError, match=told):
        load_checkpoint(tmp_path / "c")
    with pytest.raises(CheckpointError, match=told):
        module_from_checkpoint(later)


def test_an_option_of_a_later_quantization_is_refused_by_name(checkpoint):
    later = Checkpoint(SPEC, (StepDone("quantize", {"bits": 4}),), checkpoint.weights)
    with pytest.raises(CheckpointError, match="with the option 'bits', which edgeseg"):
        module_from_checkpoint(later)


def test_a_prune_step_that_does_not_say_what_it_cut_is_refused(checkpoint):
    later = Checkpoint(SPEC, (StepDone("prune", {"ratio": 0.5}),), checkpoint.weights)
    with pytest.raises(CheckpointError, match="does not say what it cut"):
        module_from_checkpoint(later)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused_by_name(checkpoint, tmp_path, value):
    name = next(key for key, weight in checkpoint.weights.items() if weight.ndim == 4)
    weights = {key: weight.clone() for key, weight in checkpoint.weights.items()}
    weights[name].view(-1)[:2] = value
    save_checkpoint(tmp_path / "c", Checkpoint(SPEC, (), weights))
    with pytest.raises(CheckpointError, match=f"2 NaN or infinite of .* in '{name}', in 1 tensors"):
        load_checkpoint(tmp_path / "c")
