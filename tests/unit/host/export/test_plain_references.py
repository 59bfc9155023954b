"""The plain exports that `bench --reference` times beside a bundle."""

import dataclasses

import pytest
import torch
from small_models import small

from edgeseg.core.zoo import default_bundle
from edgeseg.errors import UsageError
from edgeseg.host.checkpoint import Checkpoint, save_checkpoint
from edgeseg.host.export.plain_references import reference_rows
from edgeseg.host.models import build_model

WANTED = "--checkpoint FILE, or an FP32 bundle"


def test_an_int8_bundle_without_weights_says_what_to_give(colour_bundle, tmp_path):
    int8 = dataclasses.replace(colour_bundle, name="unknown", precision="int8")
    with pytest.raises(UsageError, match=WANTED):
        reference_rows(("fp32",), [int8], None, 1, tmp_path)
    assert reference_rows((), [int8], None, 1, tmp_path) == []


def test_the_weights_must_be_those_of_this_network(colour_bundle, tmp_path):
    """A name is no proof: an export is called after its checkpoint's folder."""
    namesake = dataclasses.replace(colour_bundle, name=default_bundle().name, precision="int8")
    with pytest.raises(UsageError, match=WANTED):
        reference_rows(("fp32",), [namesake], None, 1, tmp_path)
    torch.manual_seed(0)
    spec = small("segnet-basic", size_hw=(32, 48))
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, Checkpoint(spec, (), build_model(spec).state_dict()))
    with pytest.raises(UsageError, match=r"--checkpoint .* has (arch|class_names|size_hw)"):
        reference_rows(("fp32",), [namesake], path, 1, tmp_path)
