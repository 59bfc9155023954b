"""Every shipped checkpoint is rebuilt by this code into the network that its bundle holds."""

import pytest
import torch

from edgeseg.core.zoo import find_bundle, zoo_checkpoint, zoo_names
from edgeseg.host.checkpoint import load_checkpoint, module_from_checkpoint
from edgeseg.host.export.export import deployed

SHIPPED = [name for name in zoo_names() if zoo_checkpoint(name) is not None]


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_checkpoint_gives_its_bundles_golden_labels(name: str) -> None:
    path = zoo_checkpoint(name)
    assert path is not None
    bundle = find_bundle(name)
    checkpoint = load_checkpoint(path)
    assert checkpoint.spec == bundle.spec
    net = deployed(checkpoint.spec, module_from_checkpoint(checkpoint), bundle.precision)
    golden = bundle.golden()
    with torch.inference_mode():
        labels = net(torch.from_numpy(golden.frame)).numpy()
    # The machine that exported it rounded some sums of floats otherwise.
    assert (labels == golden.labels).mean() > 0.999


def test_there_are_shipped_checkpoints() -> None:
    assert SHIPPED
