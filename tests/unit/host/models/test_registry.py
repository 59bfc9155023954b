"""MODELS: every head on every backbone, and networks of one piece."""

import subprocess
import sys

import pytest

from edgeseg.core.spec import ModelSpec
from edgeseg.errors import SpecError, UsageError
from edgeseg.host.models import BACKBONES, HEADS, MODELS, ONLY_ON, build_model

# What checkpoints and bundles of earlier releases are called.
OLD_PAIRS = {
    "deeplabv3plus-mobilenetv2", "deeplabv3plus-efficientnetlite0",
    "deeplabv3plus-efficientnetlite2", "deeplabv3plus-resnet50", "deeplabv3plus-resnet101",
    "deeplabv3plus-xception", "deeplabv3-mobilenetv2", "deeplabv3-resnet50",
    "deeplabv3-resnet101", "deeplabv3-xception",
}  # fmt: skip


def test_every_head_is_a_network_on_the_backbones_that_it_fits():
    pairs = [f"{head}-{backbone}" for head in HEADS for backbone in ONLY_ON.get(head, BACKBONES)]
    assert list(MODELS)[: len(pairs)] == pairs
    assert set(ONLY_ON) <= set(HEADS)
    assert "segnet-resnet50" not in MODELS
    assert set(pairs) >= OLD_PAIRS
    for name in pairs:
        head, _, backbone = name.partition("-")
        network = MODELS.load(name)
        assert issubclass(network, HEADS.load(head))
        assert network.backbone_type is BACKBONES.load(backbone)
        assert MODELS.load(name) is network


def test_a_pair_cites_both_papers():
    source = "DeepLabv3+ (arXiv 1802.02611) on MobileNetV2 (arXiv 1801.04381)"
    assert MODELS.load("deeplabv3plus-mobilenetv2").source == source


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(SpecError, match="did you mean 'deeplabv3plus-resnet50'"):
        build_model(ModelSpec("deeplabv3plus-resnet5"))
    with pytest.raises(UsageError, match="unknown model"):
        MODELS.load("deeplabv3plus-")


def test_names_are_listed_without_torch():
    script = "import sys; from edgeseg.host.models import MODELS; print(len(MODELS))\n"
    script += "assert 'torch' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.returncode, int(done.stdout or 0)) == (0, len(MODELS)), done.stderr
