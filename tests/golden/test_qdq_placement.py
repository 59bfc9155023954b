"""The Q/DQ placement of every architecture, as text that a reviewer can read."""

from pathlib import Path

import pytest

from edgeseg.core.spec import ModelSpec
from edgeseg.host.fold import fold_batch_norms
from edgeseg.host.models import MODELS, build_model
from edgeseg.host.placement import plan, trace

FOLDER = Path(__file__).parent


@pytest.mark.parametrize("arch", sorted(MODELS))
def test_placement_is_the_reviewed_one(arch: str, regen: bool) -> None:
    spec = ModelSpec(arch, output_stride=MODELS[arch].stride)
    graph = trace(build_model(spec).eval())
    fold_batch_norms(graph)
    text = plan(graph).to_text()
    path = FOLDER / f"qdq_{arch}.txt"
    if regen:
        path.write_text(text)
    assert text == path.read_text(), "placement changed; review, then pytest tests/golden --regen"
