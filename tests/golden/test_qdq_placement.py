"""The Q/DQ placement of every kind of architecture, as text that a reviewer can read."""

from pathlib import Path

import pytest
import torch

from edgeseg.core.spec import ModelSpec
from edgeseg.host.fx.fold_batch_norm import fold_batch_norms
from edgeseg.host.fx.tracing import trace
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.quantization.qdq_placement import plan

FOLDER = Path(__file__).parent
# What these are places Q/DQ as one of those: the same blocks, more of them, or other strides.
LIKE = {
    "deeplabv3plus-resnet50": "deeplabv3-resnet50",
    "deeplabv3plus-resnet101": "deeplabv3-resnet50",
    "deeplabv3plus-efficientnetlite0": "deeplabv3plus-mobilenetv2",
    "deeplabv3plus-efficientnetlite2": "deeplabv3plus-mobilenetv2",
    "deeplabv3-mobilenetv2": "deeplabv3plus-mobilenetv2",
    "deeplabv3-efficientnetlite0": "deeplabv3plus-mobilenetv2",
    "deeplabv3-efficientnetlite2": "deeplabv3plus-mobilenetv2",
    "deeplabv3-resnet101": "deeplabv3-resnet50",
    "deeplabv3-xception": "deeplabv3plus-xception",
    "deeplabv2-resnet101": "deeplabv3-resnet50",
    "segnet-mobilenetv2": "segnet-efficientnetlite0",
    "segnet-efficientnetlite2": "segnet-efficientnetlite0",
    "fcn-32s": "fcn-8s",
    "fcn-16s": "fcn-8s",
    "fcn-basic-noaddition": "fcn-basic",
    "fcn-basic-noaddition-nodimreduction": "fcn-basic-nodimreduction",
}


@pytest.mark.parametrize("arch", sorted(set(MODELS) - set(LIKE)))
def test_placement_is_the_reviewed_one(arch: str, regen: bool) -> None:
    spec = ModelSpec(arch, output_stride=MODELS.load(arch).stride)
    with torch.device("meta"):
        graph = trace(build_model(spec).eval())
    fold_batch_norms(graph)
    text = plan(graph).to_text()
    path = FOLDER / f"qdq_{arch}.txt"
    if regen:
        path.write_text(text)
    assert text == path.read_text(), "placement changed; review, then pytest tests/golden --regen"


def test_every_architecture_has_a_golden_or_is_like_one_that_has() -> None:
    assert set(LIKE) < set(MODELS)
    assert all((FOLDER / f"qdq_{arch}.txt").is_file() for arch in set(MODELS) - set(LIKE))
    assert all((FOLDER / f"qdq_{arch}.txt").is_file() for arch in LIKE.values())
