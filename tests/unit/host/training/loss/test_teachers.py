"""Teachers: ensembles of networks and what cannot teach."""

import dataclasses

import pytest
import torch

from edgeseg.core.spec import ModelSpec, Preprocess
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, save_checkpoint
from edgeseg.host.models import build_model
from edgeseg.host.models.label_net import resize_logits
from edgeseg.host.training.loss.teachers import Ensemble, load_teachers

BASIC = ModelSpec(
    "segnet-basic",
    class_names=("a", "b", "c"),
    palette=((0, 0, 0), (9, 9, 9), (8, 8, 8)),
    size_hw=(48, 64),
    options={"channels": 8},
)
FINE = dataclasses.replace(
    BASIC, arch="deeplabv3plus-mobilenetv2", output_stride=16, options={"aspp_channels": 16}
)


def saved(spec, path, seed):
    torch.manual_seed(seed)
    module = build_model(spec)
    save_checkpoint(path, Checkpoint(spec, (), module.state_dict()))
    return module.eval()


def test_an_ensemble_is_the_mean_of_its_members_probabilities(tmp_path):
    paths = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    one, two = saved(BASIC, paths[0], 1), saved(FINE, paths[1], 2)
    x = torch.randn(2, 3, 48, 64)
    with torch.no_grad():
        theirs = resize_logits(two(x), (48, 64))
        expected = (one(x).softmax(1) + theirs.softmax(1)) / 2
        found = load_teachers(paths, BASIC)(x)
        alone = load_teachers(paths[:1], FINE)(x)
    assert found.shape == (2, 3, 48, 64)
    torch.testing.assert_close(found.exp(), expected, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(alone, one(x))


def test_a_teacher_is_frozen_and_stays_so(tmp_path):
    saved(BASIC, tmp_path / "t.safetensors", 1)
    teacher = load_teachers([tmp_path / "t.safetensors"], BASIC)
    assert not teacher.training
    assert not any(p.requires_grad for p in teacher.parameters())
    assert load_teachers([], BASIC) is None
    with pytest.raises(UsageError, match="at least one"):
        Ensemble([])


def test_a_teacher_sees_frames_normalized_as_in_its_own_training(tmp_path):
    rule = Preprocess(mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))
    theirs = dataclasses.replace(BASIC, preprocess=rule)
    own = saved(theirs, tmp_path / "t.safetensors", 1)
    frames = torch.rand(2, 3, 48, 64)

    def seen(by):
        return (frames - torch.tensor(by.mean).view(3, 1, 1)) / torch.tensor(by.std).view(3, 1, 1)

    with torch.no_grad():
        found = load_teachers([tmp_path / "t.safetensors"], BASIC)(seen(BASIC.preprocess))
        torch.testing.assert_close(found, own(seen(rule)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"class_names": ("a", "b", "x")}, "classes"),
        ({"preprocess": Preprocess(normalize="per_image")}, "normalized per_image"),
    ],
)
def test_what_cannot_teach_is_refused_with_its_reason(tmp_path, change, reason):
    path = tmp_path / "t.safetensors"
    saved(dataclasses.replace(BASIC, **change), path, 1)
    with pytest.raises(UsageError, match=f"t.safetensors.*{reason}"):
        load_teachers([path], BASIC)
